# What Debian's Ruby gRPC, over an older gRPC core, sees of the server: one JSON line a case. The only argument: a file
# that says where things are.
require "base64"
require "google/protobuf"
require "grpc"
require "json"

PLACE = JSON.parse(File.read(ARGV[0]))
BIG = 60_000_000
LIMITS = { "grpc.max_receive_message_length" => -1, "grpc.max_send_message_length" => -1 }.freeze
KEEPALIVE = {
  "grpc.keepalive_time_ms" => 1000, "grpc.keepalive_timeout_ms" => 5000,
  "grpc.keepalive_permit_without_calls" => 1, "grpc.http2.max_pings_without_data" => 0,
}.freeze
INFERENCE = "/org.pytorch.serve.grpc.inference.InferenceAPIsService".freeze
MANAGEMENT = "/org.pytorch.serve.grpc.management.ManagementAPIsService".freeze

pool = Google::Protobuf::DescriptorPool.generated_pool
PLACE["descriptors"].each { |descriptor| pool.add_serialized_file(Base64.decode64(descriptor)) }
message = ->(name) { pool.lookup(name).msgclass }
EMPTY = message["google.protobuf.Empty"]
REQUEST = message["org.pytorch.serve.grpc.inference.PredictionsRequest"]
ANSWER = message["org.pytorch.serve.grpc.inference.PredictionResponse"]
HEALTHY = message["org.pytorch.serve.grpc.inference.TorchServeHealthResponse"]
LIST = message["org.pytorch.serve.grpc.management.ListModelsRequest"]
LISTED = message["org.pytorch.serve.grpc.management.ManagementResponse"]
CHECK = message["grpc.health.v1.HealthCheckRequest"]
CHECKED = message["grpc.health.v1.HealthCheckResponse"]
CODES = GRPC::Core::StatusCodes.constants.to_h { |name| [GRPC::Core::StatusCodes.const_get(name), name.to_s] }

$stdout.sync = true
SAYING = Mutex.new

def say(name, result)
  SAYING.synchronize { puts JSON.generate("case" => name, "result" => result) }
end

def connect(target = PLACE["plain"], credentials = :this_channel_is_insecure, options = {})
  # Channels of the same options would share a connection.
  GRPC::ClientStub.new(target, credentials, channel_args: options.merge("grpc.use_local_subchannel_pool" => 1))
end

def request(text)
  REQUEST.new(model_name: PLACE["model"], input: { "data" => text.b })
end

def code
  yield
  "OK"
rescue GRPC::BadStatus => error
  CODES[error.code]
end

def call(client, method, message, answer, seconds: 60, **options)
  client.request_response(
    method, message, :to_proto.to_proc, answer.method(:decode), deadline: Time.now + seconds, **options
  )
end

def predict(client, text, **options)
  call(client, "#{INFERENCE}/Predictions", request(text), ANSWER, **options).prediction
rescue GRPC::BadStatus => error
  CODES[error.code]
end

def stream(client, text)
  parts = []
  operation = client.server_streamer(
    "#{INFERENCE}/StreamPredictions", request(text), :to_proto.to_proc, ANSWER.method(:decode),
    deadline: Time.now + 60, return_op: true
  )
  status = code do
    operation.execute.each do |answer|
      parts << answer.prediction
      yield operation, parts.size if block_given?
    end
  end
  [parts, status]
end

def failure(client, text)
  call(client, "#{INFERENCE}/Predictions", request(text), ANSWER)
rescue GRPC::BadStatus => error
  [CODES[error.code], error.details.dup.force_encoding("UTF-8").split("\norg.pytorch")[0]]
end

def large(client)
  predict(client, "echo ".ljust(BIG, "x")).size
end

def secured(server, authority, key = nil, certificate = nil)
  content = [authority, key, certificate].map { |name| name && File.read(name) }
  connect(server, GRPC::Core::ChannelCredentials.new(*content), LIMITS)
end

CASES = {
  "ping" => ->(client) { JSON.parse(call(client, "#{INFERENCE}/Ping", EMPTY.new, HEALTHY).health)["status"] },
  "unary" => ->(client) { predict(client, "echo hello") },
  "stream" => ->(client) { stream(client, "parts 3 0").flatten },
  "cancel_in_the_stream" => lambda do |client|
    _, status = stream(client, "parts 100000 0.001") { |operation, count| operation.cancel if count == 1 }
    [status, predict(client, "echo free")]
  end,
  "cancel_at_once" => lambda do |client|
    operation = client.request_response(
      "#{INFERENCE}/Predictions", request("sleep 0.3"), :to_proto.to_proc, ANSWER.method(:decode), return_op: true
    )
    cancelling = Thread.new { operation.cancel }
    status = code { operation.execute }
    cancelling.join
    [status, predict(client, "echo free")]
  end,
  "deadline" => ->(client) { [predict(client, "sleep 0.5", seconds: 0.1), predict(client, "echo free")] },
  "gzip" => lambda do |_|
    client = connect(PLACE["plain"], :this_channel_is_insecure, { "grpc.default_compression_algorithm" => 2 })
    predict(client, "echo " + "hello " * 1000).size
  end,
  "large" => ->(client) { large(client) },
  "metadata" => lambda do |client|
    operation = client.request_response(
      "#{INFERENCE}/Predictions", request("note"), :to_proto.to_proc, ANSWER.method(:decode),
      metadata: { "x-note" => "a note", "x-note-bin" => [0, 1, 255].pack("C*") }, return_op: true
    )
    answer = operation.execute.prediction
    [answer, operation.trailing_metadata["x-answer"]]
  end,
  "error" => ->(client) { failure(client, "refuse no such thing") },
  "special_characters" => ->(client) { failure(client, "refuse " + PLACE["special"]) },
  "unknown_method" => ->(client) { code { call(client, "#{INFERENCE}/Nothing", EMPTY.new, EMPTY) } },
  "unknown_service" => ->(client) { code { call(client, "/no.such.Service/Nothing", EMPTY.new, EMPTY) } },
  "watch" => lambda do |_|
    operation = connect.server_streamer(
      "/grpc.health.v1.Health/Watch", CHECK.new(service: PLACE["model"]), :to_proto.to_proc, CHECKED.method(:decode),
      return_op: true
    )
    state = nil
    code { operation.execute.each { |answer| state = answer.status.to_s; operation.cancel } }
    state
  end,
  "unix_socket" => lambda do |_|
    listed = call(connect("unix:#{PLACE["unix"]}"), "#{MANAGEMENT}/ListModels", LIST.new, LISTED).msg
    JSON.parse(listed)["models"].any? { |model| model["modelName"] == PLACE["model"] }
  end,
  "tls" => lambda do |_|
    client = secured(PLACE["tls"], PLACE["ca"])
    [predict(client, "echo hello"), stream(client, "parts 3 0"), large(client)].flatten
  end,
  "mutual_tls" => lambda do |_|
    client = secured(PLACE["mutual_tls"], PLACE["ca"], PLACE["key"], PLACE["certificate"])
    [predict(client, "echo hello"), stream(client, "parts 3 0")].flatten
  end,
  "tls_without_a_certificate" => ->(_) { predict(secured(PLACE["mutual_tls"], PLACE["ca"]), "echo hello", seconds: 10) },
  "tls_of_another_authority" => lambda do |_|
    client = secured(PLACE["mutual_tls"], PLACE["stranger_ca"], PLACE["key"], PLACE["certificate"])
    predict(client, "echo hello", seconds: 10)
  end,
}.freeze

def keepalive
  channel = GRPC::Core::Channel.new(PLACE["plain"], KEEPALIVE, :this_channel_is_insecure)
  client = GRPC::ClientStub.new(PLACE["plain"], :this_channel_is_insecure, channel_override: channel)
  first = predict(client, "echo hello")
  changed = channel.watch_connectivity_state(GRPC::Core::ConnectivityStates::READY, Time.now + 10)
  [first, !changed, predict(client, "echo hello")]
end

pinging = Thread.new { keepalive }
client = connect(PLACE["plain"], :this_channel_is_insecure, LIMITS)
CASES.each { |name, run| say(name, run.call(client)) }
say("keepalive", pinging.value)
parts, status = stream(client, "parts 30 0.1") { |_, count| say("draining", true) if count == 1 }
say("drain", [parts.size, status])
say("after_the_stop", predict(client, "echo hello", seconds: 10))
