// @parse/node-apn 8.1.0, as its documentation shows it.
"use strict";

const fs = require("fs");
const apn = require("@parse/node-apn");

const plan = JSON.parse(fs.readFileSync(process.argv[3], "utf8"));

function say(line) {
    fs.writeSync(1, JSON.stringify(line) + "\n");
}

// The first alone, then everything at once. With a provider token the limit is one stream until the first answer; Node
// does not wait for it to be told, and the client does not send again what is refused for that.
async function send(credentials) {
    const provider = new apn.Provider({ ...credentials, ca: plan.ca, address: "127.0.0.1", port: plan.http2_port });
    const sendTo = (token, place) => {
        const notification = new apn.Notification();
        notification.alert = plan.alerts[place];
        notification.topic = plan.topic;
        notification.pushType = "alert";
        notification.priority = 5;
        notification.expiry = plan.expiration;
        return provider.send(notification, token);
    };
    const told = [await sendTo(plan.tokens[0], 0)];
    // It gives up after five seconds what has no answer, whether it has left or not.
    const atOnce = plan.at_once ?? plan.tokens.length;
    for (let place = 1; place < plan.tokens.length; place += atOnce) {
        const some = plan.tokens.slice(place, place + atOnce);
        told.push(...(await Promise.all(some.map((token, more) => sendTo(token, place + more)))));
    }
    for (const { sent, failed } of told) {
        for (const { device } of sent) say({ accepted: device });
        for (const { device, status, response, error } of failed) {
            if (error) say({ trouble: String(error.message), device });
            else say({ refused: device, status, reason: response.reason });
        }
    }
    provider.shutdown();
}

const modes = {
    certificate: () => send({ cert: plan.cert, key: plan.key }),
    token: () => send({ token: { key: plan.signing_key, keyId: plan.key_id, teamId: plan.team_id } }),
};
modes[process.argv[2]]();
