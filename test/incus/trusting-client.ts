import { get } from "node:https";
import { openConnection } from "../../src/incus/connection.ts";
import { Secret } from "../../src/model/secret.ts";
import { systemClock } from "../../src/system/clock.ts";

// A program of its own: the certificates that Node trusts beyond its own are read when it starts. It prints, as JSON,
// what an ordinary https client, our requests and our websockets make of the server.
const { SERVER_URL: url = "", PIN: pin = "", CERTIFICATE: certificate = "", KEY: key = "" } = process.env;
const { signal } = new AbortController();
const credentials = { certificate, key: new Secret(key), pin };
const connection = openConnection({ host: "prod", url, credentials, clock: systemClock });

const codeOf = (error: Error) => ("code" in error ? error.code : String(error));
const ordinary = await new Promise((resolve) => {
  get(url, (response) => resolve(response.statusCode)).on("error", (error) => resolve(codeOf(error)));
});
const request = await connection.request({ method: "GET", path: "/1.0" }, signal).then(() => "answered", codeOf);
const websocket = await connection.openWebsocket("/1.0/events", signal).then(() => "open", codeOf);
await connection.close();
process.stdout.write(JSON.stringify({ ordinary, request, websocket }));
process.exit();
