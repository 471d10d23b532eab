import { once } from "node:events";
import { connect } from "node:tls";
import { expect, test } from "vitest";
import { fingerprintOf, makeCertificate } from "../fakes/incus/certificate.ts";
import { RawClient } from "../fakes/incus/raw-client.ts";
import { openAs } from "./agent.ts";
import type { Stage } from "./stage.ts";

/** Who a server is, and whom it trusts. */
export function identitySuite(at: () => Stage): void {
  test("facts() tell version, certificate, addresses and rights", async ({ signal }) => {
    const { servers, raw, generation } = at();
    const facts = await servers.source.facts(signal);
    expect(facts.version.startsWith(`${generation}.`)).toBe(true);
    expect(facts.fingerprint).toBe(fingerprintOf(raw.source.server.certificate));
    expect(facts).toMatchObject({ host: "source", restricted: false, clustered: false });
    expect(facts.addresses).toContain(raw.source.server.url);
    expect(facts.instanceTypes).toContain("container");
  });

  test("facts() tell what each generation can do", async ({ signal }) => {
    const isNew = at().generation === "7.0";
    expect((await at().servers.source.facts(signal)).can).toEqual({
      excludeOlder: true,
      fullVolumes: isNew,
      cancelMigration: isNew,
      tellLateSuccess: isNew,
      repairsHalves: isNew,
      listPoolsRestricted: isNew,
      zfsNewestCommon: isNew,
      directBackup: isNew,
      patchKeepsDescription: isNew,
    });
  });

  test("the server speaks TLS 1.3 only", async () => {
    const { hostname: host, port } = new URL(at().raw.source.server.url);
    const socket = connect({ host, port: Number(port), maxVersion: "TLSv1.2", rejectUnauthorized: false });
    await expect(once(socket, "secureConnect")).rejects.toMatchObject({ code: /TLSV1_ALERT|ERR_SSL|ECONNRESET/ });
  });

  test("who is not trusted sees neither version nor certificate, and the extensions on 6.0 only", async () => {
    const stranger = new RawClient(at().raw.source.server);
    const root = await stranger.get("/1.0");
    const extensions = at().generation === "6.0" ? expect.arrayContaining(["projects"]) : null;
    expect(root).toMatchObject({ auth: "untrusted", api_extensions: extensions });
    expect(root).not.toHaveProperty("environment.server_version");
    await stranger.close();
  });

  test("who is not trusted is refused all else with 403", async ({ signal }) => {
    const stranger = at().openAs("source", makeCertificate());
    await expect(stranger.instances(signal)).rejects.toMatchObject({ code: "incus.refused", status: 403 });
    await stranger.close();
  });

  test("a server that is not the pinned one is trust.mismatch", async ({ signal }) => {
    const { raw } = at();
    const where = { url: raw.source.server.url, certificate: raw.target.server.certificate };
    const agent = openAs("source", where, raw.source.certificate);
    await expect(agent.facts(signal)).rejects.toMatchObject({ code: "trust.mismatch" });
    await agent.close();
  });

  test("a token lets a client in, with its own name and rights and not those of the request", async () => {
    const { raw, project } = at();
    const client = new RawClient(raw.source.server, makeCertificate({ commonName: "redeemer" }));
    const token = await at().makeToken("source", { name: "restricted", projects: [project] });
    const wish = { type: "client", trust_token: token, name: "mine", restricted: false, projects: [] };
    const { fingerprint } = client.certificate;
    expect(await client.call("POST", "/1.0/certificates", wish)).toMatchObject({
      status: 201,
      headers: { location: `/1.0/certificates/${fingerprint}` },
    });
    const entry = await client.get(`/1.0/certificates/${fingerprint}`);
    expect(entry).toMatchObject({ name: "restricted", restricted: true, projects: [project] });
    await client.close();
  });

  test("a token that was used is unknown", async () => {
    const { raw } = at();
    const [first, second] = [new RawClient(raw.source.server), new RawClient(raw.source.server)];
    const body = { type: "client", trust_token: await at().makeToken("source", { name: "once" }) };
    expect((await first.call("POST", "/1.0/certificates", body)).status).toBe(201);
    expect(await second.call("POST", "/1.0/certificates", body)).toMatchObject({
      status: 403,
      body: { error: "No matching certificate add operation found" },
    });
    await Promise.all([first.close(), second.close()]);
  });

  test.each([
    { title: "no token", token: "" },
    { title: "a garbled token", token: "%%%" },
    { title: "half a token", token: Buffer.from('{"client_name":"x","secret":"y"}').toString("base64") },
  ])("$title is not authorized", async ({ token }) => {
    const stranger = new RawClient(at().raw.source.server);
    const answer = await stranger.call("POST", "/1.0/certificates", { type: "client", trust_token: token });
    expect(answer).toMatchObject({ status: 403, body: { error: "not authorized" } });
    await stranger.close();
  });

  test.each([
    { title: "has expired", dates: { notBefore: new Date("2019-01-01"), notAfter: new Date("2020-01-01") } },
    { title: "is not valid yet", dates: { notBefore: new Date("2099-01-01"), notAfter: new Date("2100-01-01") } },
  ])("a client certificate that $title is refused with 400, and the token is used up", async ({ dates }) => {
    const { raw } = at();
    const body = { type: "client", trust_token: await at().makeToken("source", { name: "dated" }) };
    const odd = new RawClient(raw.source.server, makeCertificate(dates));
    const refused = await odd.call("POST", "/1.0/certificates", body);
    expect(refused.body.error).toMatch(/The provided certificate (is expired|isn't valid yet)/);
    expect(refused.status).toBe(400);
    const good = new RawClient(raw.source.server);
    expect((await good.call("POST", "/1.0/certificates", body)).status).toBe(403);
    await Promise.all([odd.close(), good.close()]);
  });

  test("who is trusted already is told so, and the token stays good", async () => {
    const { raw } = at();
    const body = { type: "client", trust_token: await at().makeToken("source", { name: "spare" }) };
    expect(await raw.source.call("POST", "/1.0/certificates", body)).toMatchObject({
      status: 400,
      body: { error: "Client is already trusted" },
    });
    const other = new RawClient(raw.source.server);
    expect((await other.call("POST", "/1.0/certificates", body)).status).toBe(201);
    await other.close();
  });
}
