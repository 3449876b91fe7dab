// Miniflare's KV behind a worker of a few lines, since it has no REST dialect. It asks for no token.
import { Log, LogLevel, Miniflare } from "miniflare";

const worker = `
const json = { headers: { "content-type": "application/json" } };
const bytes = { headers: { "content-type": "application/octet-stream" } };
export default {
    async fetch(request, env) {
        const key = decodeURIComponent(new URL(request.url).pathname.split("/").at(-1));
        if (request.method === "PUT") {
            await env.KV.put(key, await request.arrayBuffer());
            return new Response('{"success":true,"errors":[],"messages":[],"result":null}', json);
        }
        const value = await env.KV.get(key, "arrayBuffer");
        return value === null ? new Response(null, { status: 404 }) : new Response(value, bytes);
    },
};
`;

const miniflare = new Miniflare({
    modules: true,
    script: worker,
    compatibilityDate: "2026-07-01",
    kvNamespaces: ["KV"],
    // The place where it runs is not asked for, and no request is logged.
    cf: false,
    logRequests: false,
    log: new Log(LogLevel.WARN),
    host: "127.0.0.1",
    port: 0,
});
console.log(`listening on ${(await miniflare.ready).origin}`);
process.on("SIGTERM", () => miniflare.dispose().then(() => process.exit(0)));
