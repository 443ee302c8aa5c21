// Decisions from Redis Streams by node-redis: a group of our own, which gets all of them.
//
//   npm install redis
//   node redis_streams.mjs redis://127.0.0.1:6379/0 verdicts worker-1
//
// The last argument names this process. No two processes of a group may have the same name. Start a process again under
// its old name after a crash. It ends when its connection to Redis breaks: run it under something that starts it again.
import { mkdir, writeFile } from "node:fs/promises";
import { createClient } from "redis";

const [url, folder, name] = process.argv.slice(2);
const STREAM = "faceid.decisions";
const GROUP = "node";
const ABANDONED_MS = 30_000;
await mkdir(folder, { recursive: true });

async function handle(event) {
  // A repeated decision has the same id and changes nothing.
  await writeFile(`${folder}/${event.id}.json`, JSON.stringify(event.data));
  console.log(event.id, event.data.outcome, event.subject);
}

const redis = createClient({ url, socket: { reconnectStrategy: false } });
redis.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
await redis.connect();

async function work(messages) {
  for (const { id, message } of messages) {
    if (message) await handle(JSON.parse(message.body)); // empty when it was trimmed before it was read
    await redis.xAck(STREAM, GROUP, id); // after handling. No XDEL: other groups read the stream too
  }
}

async function read(after, options = {}) {
  const reply = await redis.xReadGroup(GROUP, name, { key: STREAM, id: after }, { COUNT: 20, ...options });
  return reply?.[0].messages ?? [];
}

await redis.xGroupCreate(STREAM, GROUP, "0", { MKSTREAM: true }).catch((error) => {
  if (!error.message.startsWith("BUSYGROUP")) throw error;
});
for (let unfinished; (unfinished = await read("0")).length; ) await work(unfinished); // read before a crash
for (;;) {
  const abandoned = await redis.xAutoClaim(STREAM, GROUP, name, ABANDONED_MS, "0-0", { COUNT: 20 });
  await work(abandoned.messages.length ? abandoned.messages : await read(">", { BLOCK: 2000 }));
}
