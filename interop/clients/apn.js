// apn 1.7.8, as its documentation shows it.
"use strict";

const fs = require("fs");
const apn = require("apn");

const plan = JSON.parse(fs.readFileSync(process.argv[3], "utf8"));
const identity = { cert: plan.cert, key: plan.key };

function say(line) {
    fs.writeSync(1, JSON.stringify(line) + "\n");
}

// Command 2. It buffers, notices answers and sends again what followed, at the end of its queue.
function send(options) {
    const connection = new apn.Connection({ ...identity, gateway: "127.0.0.1", port: plan.gateway_port, ...options });
    connection.on("transmissionError", (status, notification, device) => {
        if (device) say({ refused: device.token.toString("hex"), status });
        else say({ trouble: "error response for something it does not know", status });
    });
    for (const event of ["error", "socketError"]) {
        connection.on(event, (error) => say({ trouble: event, code: error.code, message: String(error.message) }));
    }
    connection.on("cacheTooSmall", (by) => say({ trouble: "cacheTooSmall", by }));
    plan.tokens.forEach((token, place) => {
        const notification = new apn.Notification();
        notification.alert = plan.alerts[place];
        notification.expiry = plan.expiration;
        notification.priority = 5;
        connection.pushNotification(notification, token);
    });
    process.stdin.resume();
    process.stdin.once("end", () => process.exit(0));
}

function feedback() {
    const service = new apn.Feedback({
        ...identity,
        ca: [plan.ca],
        address: "127.0.0.1",
        port: plan.feedback_port,
        interval: 0,
    });
    service.on("feedback", (records) => {
        for (const { time, device } of records) say({ token: device.token.toString("hex"), timestamp: time });
    });
    for (const event of ["error", "feedbackError"]) {
        service.on(event, (error) => say({ trouble: event, message: String(error.message) }));
    }
}

// It remembers the last 1000 it wrote unless told otherwise, and can name and send again only those.
const remembering = () => send({ ca: [plan.ca], cacheLength: plan.tokens.length });
const modes = { send: () => send({ ca: [plan.ca] }), remembering, "send-without-ca": () => send({}), feedback };
modes[process.argv[2]]();
