// Reads {schemas, messages} from stdin, and prints for each message and schema whether Ajv, in strict mode, accepts it.
import { readFileSync } from "node:fs";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const { schemas, messages } = JSON.parse(readFileSync(0, "utf8"));
const ajv = addFormats(new Ajv({ strict: true }));
const accepted = {};
for (const [name, schema] of Object.entries(schemas)) {
  const validate = ajv.compile(schema);
  accepted[name] = Object.keys(messages).filter((message) => validate(messages[message]));
}
console.log(JSON.stringify(accepted));
