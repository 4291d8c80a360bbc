// @parse/node-apn 8.1.0 sends what it is given: one push of each kind.
"use strict";

const fs = require("fs");
const apn = require("@parse/node-apn");

const plan = JSON.parse(fs.readFileSync(process.argv[3], "utf8"));

async function main() {
    const token = { key: plan.signing_key, keyId: plan.key_id, teamId: plan.team_id };
    const provider = new apn.Provider({ token, ca: plan.ca, address: "127.0.0.1", port: plan.http2_port });
    // One after the other: the first fixes how many streams there may be.
    for (const push of plan.pushes) {
        const notification = new apn.Notification();
        notification.rawPayload = push.payload;
        notification.topic = push.topic;
        notification.pushType = push.type;
        notification.priority = push.priority;
        if (push.collapse_id) notification.collapseId = push.collapse_id;
        const { sent, failed } = await provider.send(notification, plan.token);
        for (const _ of sent) fs.writeSync(1, JSON.stringify({ accepted: push.kind }) + "\n");
        for (const { status, response, error } of failed) {
            fs.writeSync(1, JSON.stringify({ trouble: error ? String(error) : response.reason, kind: push.kind, status }) + "\n");
        }
    }
    provider.shutdown();
}
main();
