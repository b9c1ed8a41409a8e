// Asks over one connection with bodies of unknown length, which node's http sends by chunks.
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";

const { url, asked } = JSON.parse(await text(process.stdin));
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const ports = new Set();

function ask({ method, path, headers, parts }) {
  return new Promise((resolve, reject) => {
    const asking = request(url + path, { agent, method, headers }, async (answer) => {
      ports.add(answer.socket.localPort);
      resolve([answer.statusCode, await text(answer)]);
    });
    asking.on("error", reject);
    for (const part of parts) asking.write(part);
    asking.end();
  });
}

const answers = [];
for (const each of asked) answers.push(await ask(each));
console.log(JSON.stringify({ answers, connections: ports.size }));
