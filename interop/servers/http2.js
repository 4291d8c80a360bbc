// A server of Node's own http2 module: takes every push whose body arrived whole, and writes down its path.
//
//   node http2.js KEY CERTIFICATE LOG LENGTH [SEED]
//
// LENGTH is that of the alert's text. With a seed its SETTINGS change at random while requests come in.
"use strict";
const fs = require("node:fs");
const http2 = require("node:http2");

const [key, cert, log, length, seed] = process.argv.slice(2);
const CHANGE_EVERY = 20;
const CHOICES = {
    initialWindowSize: [256, 1000, 16384, 65535, 1 << 20],
    maxConcurrentStreams: [1, 2, 7, 100, 1000],
    headerTableSize: [0, 64, 100, 200, 4096, 65536],
    maxFrameSize: [16384, 20000, 1 << 20],
};

// xorshift: the same numbers for the same seed.
let state = (Number(seed ?? 1) * 2654435761) >>> 0 || 1;
function below(end) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % end;
}

// Some of the settings; one frame is under way at a time.
function change(session) {
    const names = Object.keys(CHOICES).filter(() => below(2) === 0);
    if (names.length === 0 || session.closed || session.destroyed) return;
    session.changing = true;
    const settings = Object.fromEntries(names.map((name) => [name, CHOICES[name][below(CHOICES[name].length)]]));
    session.settings(settings, () => {
        session.changing = false;
        changes += 1;
    });
}

function isWhole(body) {
    try {
        return JSON.parse(body).aps.alert.body.length === Number(length);
    } catch {
        return false;
    }
}

let changes = 0;
const out = fs.createWriteStream(log);
const server = http2.createSecureServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) });
server.on("session", (session) => Object.assign(session, { changing: false, taken: 0 }));
server.on("stream", (stream, headers) => {
    const pieces = [];
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("error", () => {});
    stream.on("end", () => {
        const whole = isWhole(Buffer.concat(pieces).toString());
        if (whole) out.write(`${headers[":method"]} ${headers[":path"]}\n`);
        const answer = { ":status": whole ? 200 : 500, "apns-id": "00000000-0000-0000-0000-000000000000" };
        stream.respond(answer, { endStream: true });
        const session = stream.session;
        if (!seed || !session) return;
        session.taken += 1;
        if (session.taken % CHANGE_EVERY === 0 && !session.changing) change(session);
    });
});
server.on("sessionError", () => {});
server.listen(0, "127.0.0.1", () => console.log(`listens at ${server.address().port}`));
process.on("SIGTERM", () => {
    console.log(`${changes} changes of settings were acknowledged`);
    out.end(() => process.exit(0));
});
