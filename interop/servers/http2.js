// A server of Node's own http2 module: takes every push, and writes down its path.
"use strict";
const fs = require("node:fs");
const http2 = require("node:http2");

const [key, cert, log] = process.argv.slice(2);
const out = fs.createWriteStream(log);
const server = http2.createSecureServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) });
server.on("stream", (stream, headers) => {
    stream.on("data", () => {});
    stream.on("end", () => {
        out.write(`${headers[":method"]} ${headers[":path"]}\n`);
        stream.respond({ ":status": 200, "apns-id": "00000000-0000-0000-0000-000000000000" }, { endStream: true });
    });
});
server.on("sessionError", () => {});
server.listen(0, "127.0.0.1", () => console.log(`listens at ${server.address().port}`));
process.on("SIGTERM", () => out.end(() => process.exit(0)));
