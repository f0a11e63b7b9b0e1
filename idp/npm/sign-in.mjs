// An OpenID Connect provider that people sign in at, on a free port. It takes everybody at their word. One JSON object a line: a command
// comes in, its answer goes out. It ends with its input.
import { createServer } from "node:http";
import { createInterface } from "node:readline";

// It tells at length what it is not fit for in production, some of it where the answers go.
for (const level of ["info", "warn"]) console[level] = () => {};
const { Provider } = await import("oidc-provider");

const [redirectUri] = process.argv.slice(2);
const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = (more) => ({
  redirect_uris: [redirectUri],
  response_types: ["code"],
  grant_types: ["authorization_code"],
  require_auth_time: true,
  ...more,
});
const provider = new Provider(issuer, {
  clients: [
    client({ client_id: "console", client_secret: "secret of the console" }),
    client({ client_id: "public", token_endpoint_auth_method: "none" }),
  ],
  claims: { openid: ["sub", "groups", "amr"], acr: null, auth_time: null },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  async findAccount(_context, accountId) {
    const groups = accountId === "alice" ? ["sre"] : ["sre-lead"];
    return { accountId, claims: async () => ({ sub: accountId, groups }) };
  },
});
const answerRequest = provider.callback();

const form = `<!doctype html><html lang="en"><title>Sign in</title><h1>Sign in</h1>
<form method="post"><label>Name <input name="login" autofocus></label> <button>Sign in</button></form>`;

async function interact(request, response) {
  const { params } = await provider.interactionDetails(request, response);
  if (request.method !== "POST") {
    response.setHeader("content-type", "text/html");
    return response.end(form);
  }
  let body = "";
  for await (const chunk of request) body += chunk;
  const accountId = new URLSearchParams(body).get("login");
  if (!accountId) {
    const result = { error: "access_denied", error_description: "The person left." };
    return provider.interactionFinished(request, response, result);
  }
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { login: { accountId, amr: ["pwd", "otp"] }, consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result);
}

server.on("request", (request, response) => {
  if (!request.url.startsWith("/interaction/")) return answerRequest(request, response);
  interact(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
});

const answer = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
answer({ issuer });
for await (const line of createInterface({ input: process.stdin })) {
  const { command } = JSON.parse(line);
  if (command === "stop") {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
  answer({});
}
process.exit(0);
