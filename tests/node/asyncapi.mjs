// Reads named AsyncAPI documents as one JSON object, and prints what the official parser says of each.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const said = {};
for (const [name, text] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
  const { document, diagnostics } = await new Parser().parse(text);
  said[name] = {
    faults: diagnostics.map(({ code, message, path }) => ({ code, message, path: path.join(".") })),
    channels: document?.channels().all().map((channel) => channel.address()) ?? [],
    examples: document?.messages().all().flatMap((message) => message.examples().all().map((it) => it.name())) ?? [],
  };
}
console.log(JSON.stringify(said));
