// What Node's @grpc/grpc-js sees of the server: one JSON line a case. The only argument: a file that says where things are.
"use strict";
const fs = require("fs");
const place = JSON.parse(fs.readFileSync(process.argv[2]));
const path = require("path");
const load = (name) => require(path.join(place.modules, name));
const grpc = load("@grpc/grpc-js");
const loader = load("@grpc/proto-loader");

const BIG = 60_000_000;
const LIMITS = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
const KEEPALIVE = { "grpc.keepalive_time_ms": 1000, "grpc.keepalive_timeout_ms": 5000, "grpc.keepalive_permit_without_calls": 1 };
const serve = definition("inference.proto", "management.proto").org.pytorch.serve.grpc;
const Inference = serve.inference.InferenceAPIsService;
const health = definition("health.proto").grpc.health.v1;

function definition(...files) {
  const options = { keepCase: true, defaults: true, enums: String, includeDirs: [place.protos, place.folder] };
  return grpc.loadPackageDefinition(loader.loadSync(files, options));
}

const say = (name, result) => process.stdout.write(JSON.stringify({ case: name, result }) + "\n");
const code = (error) => (error ? grpc.status[error.code] : "OK");
const request = (text) => ({ model_name: place.model, input: { data: Buffer.from(text) } });
const within = (seconds) => ({ deadline: Date.now() + seconds * 1000 });

function unary(client, method, message, metadata = new grpc.Metadata(), options = within(60)) {
  return new Promise((resolve) => {
    let trailers = null;
    const call = client[method](message, metadata, options, (error, answer) =>
      setImmediate(() => resolve({ error, answer, trailers })));
    call.on("status", (status) => { trailers = status.metadata; });
  });
}

async function predict(client, text, options) {
  const { error, answer } = await unary(client, "Predictions", request(text), new grpc.Metadata(), options);
  return error ? code(error) : answer.prediction.toString();
}

// Reads a stream; `onPart` gets the call and the number of parts so far.
function stream(client, text, onPart = () => {}) {
  return new Promise((resolve) => {
    const parts = [];
    const call = client.StreamPredictions(request(text), new grpc.Metadata(), within(60));
    call.on("data", (answer) => { parts.push(answer.prediction.toString()); onPart(call, parts.length); });
    call.on("error", () => {});
    call.on("status", (status) => resolve({ parts, code: grpc.status[status.code], details: status.details }));
  });
}

async function failure(client, text) {
  const { error } = await unary(client, "Predictions", request(text));
  return [code(error), error.details.split("\norg.pytorch")[0]];
}

async function large(client) {
  const data = Buffer.alloc(BIG, "x");
  data.write("echo ");
  const { answer, error } = await unary(client, "Predictions", { model_name: place.model, input: { data } });
  return error ? error.details : answer.prediction.length;
}

function unknown(client, method) {
  return new Promise((resolve) => client.makeUnaryRequest(method, (x) => x, (x) => x, Buffer.alloc(0), (error) => resolve(code(error))));
}

const cases = {
  async ping(client) {
    const { answer } = await unary(client, "Ping", {});
    return JSON.parse(answer.health).status;
  },
  unary: (client) => predict(client, "echo hello"),
  async stream(client) {
    const { parts, code } = await stream(client, "parts 3 0");
    return [...parts, code];
  },
  async cancel_in_the_stream(client) {
    const { code } = await stream(client, "parts 100000 0.001", (call, count) => count === 1 && call.cancel());
    return [code, await predict(client, "echo free")];
  },
  async cancel_at_once(client) {
    const result = new Promise((resolve) => {
      const call = client.Predictions(request("sleep 0.3"), (error) => resolve(code(error)));
      call.cancel();
    });
    return [await result, await predict(client, "echo free")];
  },
  async deadline(client) {
    return [await predict(client, "sleep 0.5", within(0.1)), await predict(client, "echo free")];
  },
  async gzip() {
    const client = new Inference(place.plain, grpc.credentials.createInsecure(), { "grpc.default_compression_algorithm": 2 });
    const answer = await predict(client, "echo " + "hello ".repeat(1000));
    client.close();
    return answer.length;
  },
  large,
  async metadata(client) {
    const metadata = new grpc.Metadata();
    metadata.set("x-note", "a note");
    metadata.set("x-note-bin", Buffer.from([0, 1, 255]));
    const { answer, trailers } = await unary(client, "Predictions", request("note"), metadata);
    return [answer.prediction.toString(), trailers.get("x-answer")[0]];
  },
  error: (client) => failure(client, "refuse no such thing"),
  special_characters: (client) => failure(client, "refuse " + place.special),
  unknown_method: (client) => unknown(client, "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Nothing"),
  unknown_service: (client) => unknown(client, "/no.such.Service/Nothing"),
  async watch() {
    const client = new health.Health(place.plain, grpc.credentials.createInsecure());
    const call = client.Watch({ service: place.model });
    call.on("error", () => {});
    const state = await new Promise((resolve) => call.once("data", (answer) => resolve(answer.status)));
    call.cancel();
    client.close();
    return state;
  },
  async unix_socket() {
    const client = new serve.management.ManagementAPIsService(`unix:${place.unix}`, grpc.credentials.createInsecure());
    const { answer, error } = await unary(client, "ListModels", {});
    client.close();
    return error ? error.details : JSON.parse(answer.msg).models.some((model) => model.modelName === place.model);
  },
  async tls() {
    const client = secured(place.tls, place.ca);
    const { parts, code } = await stream(client, "parts 3 0");
    const result = [await predict(client, "echo hello"), ...parts, code, await large(client)];
    client.close();
    return result;
  },
  async mutual_tls() {
    const client = secured(place.mutual_tls, place.ca, place.key, place.certificate);
    const { parts, code } = await stream(client, "parts 3 0");
    const answer = await predict(client, "echo hello");
    client.close();
    return [answer, ...parts, code];
  },
  tls_without_a_certificate: () => refused(secured(place.mutual_tls, place.ca)),
  tls_of_another_authority: () => refused(secured(place.mutual_tls, place.stranger_ca, place.key, place.certificate)),
};

const read = (name) => (name ? fs.readFileSync(name) : null);
const secured = (server, ca, key, certificate) =>
  new Inference(server, grpc.credentials.createSsl(read(ca), read(key), read(certificate)), LIMITS);

async function refused(client) {
  const answer = await predict(client, "echo hello", within(10));
  client.close();
  return answer;
}

async function keepalive() {
  const client = new Inference(place.plain, grpc.credentials.createInsecure(), KEEPALIVE);
  const first = await predict(client, "echo hello");
  const stayed = await new Promise((resolve) =>
    client.getChannel().watchConnectivityState(grpc.connectivityState.READY, Date.now() + 10_000, (error) => resolve(Boolean(error))));
  const second = await predict(client, "echo hello");
  client.close();
  return [first, stayed, second];
}

async function main() {
  const pinging = keepalive();
  const client = new Inference(place.plain, grpc.credentials.createInsecure(), LIMITS);
  for (const [name, run] of Object.entries(cases)) say(name, await run(client));
  say("keepalive", await pinging);
  const drained = await stream(client, "parts 30 0.1", (_, count) => count === 1 && say("draining", true));
  say("drain", [drained.parts.length, drained.code]);
  say("after_the_stop", await predict(client, "echo hello", within(10)));
  client.close();
}

main();
