// An OpenID Connect provider on a free port. One JSON object a line: a command comes in, its answer goes out. It ends with its input.
import { createInterface } from "node:readline";
import { OAuth2Server } from "oauth2-mock-server";

const server = new OAuth2Server();
const { issuer } = server;
let port = 0;

async function start() {
  await server.start(port, "127.0.0.1");
  port = server.address().port;
}

const commands = {
  async key({ alg, kid }) {
    await issuer.keys.generate(alg, { kid });
    return {};
  },
  async token({ kid, claims, seconds }) {
    const transform = (_header, payload) => Object.assign(payload, claims);
    const token = await issuer.buildToken({ kid, scopesOrTransform: transform, expiresIn: seconds });
    return { token };
  },
  async stop() {
    await server.stop();
    return {};
  },
  async start() {
    await start();
    return {};
  },
};

const answer = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
await start();
answer({ issuer: issuer.url });
for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  answer(await commands[command](rest));
}
process.exit(0);
