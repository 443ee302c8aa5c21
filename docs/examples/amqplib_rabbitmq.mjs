// Decisions from RabbitMQ by amqplib.
//
//   npm install amqplib
//   node amqplib_rabbitmq.mjs amqp://guest:guest@127.0.0.1:5672 verdicts
//
// It ends when its connection breaks and when a decision can't be handled: run it under something that starts it again.
import { mkdir, writeFile } from "node:fs/promises";
import amqplib from "amqplib";

const [url, folder] = process.argv.slice(2);
const QUEUE = "faceid.decisions";
await mkdir(folder, { recursive: true });

async function handle(event) {
  // A repeated decision has the same id and changes nothing.
  await writeFile(`${folder}/${event.id}.json`, JSON.stringify(event.data));
  console.log(event.id, event.data.outcome, event.subject);
}

const connection = await amqplib.connect(url);
connection.on("error", (error) => console.error(error.message));
connection.on("close", () => process.exit(1)); // the broker delivers unacknowledged messages again

const channel = await connection.createChannel();
await channel.assertQueue(QUEUE, { durable: true, arguments: { "x-queue-type": "quorum" } });
await channel.prefetch(20);
await channel.consume(QUEUE, async (message) => {
  if (message === null) process.exit(1); // the queue was deleted
  await handle(JSON.parse(message.content));
  channel.ack(message); // after handling
});
