// Prints as JSON what the official parser has to say about the document on stdin, and what it found in it.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
console.log(
  JSON.stringify({
    diagnostics: diagnostics.map(({ code, message, path, severity }) => ({ code, message, path, severity })),
    channels: document?.channels().all().map((channel) => channel.address()),
    examples: document?.messages().all().map((message) => message.examples().all().length),
  }),
);
