"""Written by scripts/protos: all files of protos/ and what they import, as one FileDescriptorSet."""

FILES = (
    b'\n\xe4\x01\n\x19google/protobuf/any.proto\x12\x0fgoogle.protobuf"'
    b"6\n\x03Any\x12\x19\n\x08type_url\x18\x01 \x01(\tR\x07typeUrl\x12\x14\n\x05value\x18\x02 \x01(\x0c"
    b"R\x05valueBv\n\x13com.google.protobufB\x08AnyProtoP\x01Z,goog"
    b"le.golang.org/protobuf/types/known/anypb\xa2\x02\x03GPB\xaa\x02"
    b"\x1eGoogle.Protobuf.WellKnownTypesb\x06proto3\n\xbe\x01\n\x1bgoog"
    b'le/protobuf/empty.proto\x12\x0fgoogle.protobuf"\x07\n\x05Empt'
    b"yB}\n\x13com.google.protobufB\nEmptyProtoP\x01Z.google.g"
    b"olang.org/protobuf/types/known/emptypb\xf8\x01\x01\xa2\x02\x03GPB\xaa"
    b"\x02\x1eGoogle.Protobuf.WellKnownTypesb\x06proto3\n\xf7\t\n\x0finf"
    b"erence.proto\x12 org.pytorch.serve.grpc.inference\x1a\x19"
    b"google/protobuf/any.proto\x1a\x1bgoogle/protobuf/empty"
    b'.proto"\x9f\x02\n\x12PredictionsRequest\x12\x1d\n\nmodel_name\x18\x01 \x01('
    b"\tR\tmodelName\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVersio"
    b"n\x12U\n\x05input\x18\x03 \x03(\x0b2?.org.pytorch.serve.grpc.infere"
    b"nce.PredictionsRequest.InputEntryR\x05input\x12$\n\x0bsequ"
    b"ence_id\x18\x04 \x01(\tH\x00R\nsequenceId\x88\x01\x01\x1a8\n\nInputEntry\x12\x10\n\x03"
    b"key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05value:\x028\x01B\x0e\n\x0c_seq"
    b'uence_id"\xbc\x01\n\x12PredictionResponse\x12\x1e\n\nprediction\x18\x01 '
    b"\x01(\x0cR\nprediction\x12$\n\x0bsequence_id\x18\x02 \x01(\tH\x00R\nsequence"
    b"Id\x88\x01\x01\x12E\n\x06status\x18\x03 \x01(\x0b2(.org.pytorch.serve.grpc.i"
    b"nference.StatusH\x01R\x06status\x88\x01\x01B\x0e\n\x0c_sequence_idB\t\n\x07"
    b'_status"2\n\x18TorchServeHealthResponse\x12\x16\n\x06health\x18\x01 '
    b'\x01(\tR\x06health"f\n\x06Status\x12\x12\n\x04code\x18\x01 \x01(\x05R\x04code\x12\x18\n\x07mes'
    b"sage\x18\x02 \x01(\tR\x07message\x12.\n\x07details\x18\x03 \x03(\x0b2\x14.google.pr"
    b"otobuf.AnyR\x07details2\x80\x04\n\x14InferenceAPIsService\x12\\\n\x04"
    b"Ping\x12\x16.google.protobuf.Empty\x1a:.org.pytorch.serve"
    b'.grpc.inference.TorchServeHealthResponse"\x00\x12{\n\x0bPr'
    b"edictions\x124.org.pytorch.serve.grpc.inference.Pre"
    b"dictionsRequest\x1a4.org.pytorch.serve.grpc.inferen"
    b'ce.PredictionResponse"\x00\x12\x83\x01\n\x11StreamPredictions\x124.'
    b"org.pytorch.serve.grpc.inference.PredictionsRequ"
    b"est\x1a4.org.pytorch.serve.grpc.inference.Predictio"
    b'nResponse"\x000\x01\x12\x86\x01\n\x12StreamPredictions2\x124.org.pytor'
    b"ch.serve.grpc.inference.PredictionsRequest\x1a4.org"
    b".pytorch.serve.grpc.inference.PredictionResponse"
    b'"\x00(\x010\x01B\x02P\x01b\x06proto3\n\x88\x0f\n\x10management.proto\x12!org.pyt'
    b'orch.serve.grpc.management"&\n\x12ManagementResponse'
    b'\x12\x10\n\x03msg\x18\x01 \x01(\tR\x03msg"z\n\x14DescribeModelRequest\x12\x1d\n\nmo'
    b"del_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmodel_version\x18\x02 \x01(\t"
    b'R\x0cmodelVersion\x12\x1e\n\ncustomized\x18\x03 \x01(\x08R\ncustomized"Q'
    b"\n\x11ListModelsRequest\x12\x14\n\x05limit\x18\x01 \x01(\x05R\x05limit\x12&\n\x0fnex"
    b't_page_token\x18\x02 \x01(\x05R\rnextPageToken"\xff\x02\n\x14RegisterMo'
    b"delRequest\x12\x1d\n\nbatch_size\x18\x01 \x01(\x05R\tbatchSize\x12\x18\n\x07han"
    b"dler\x18\x02 \x01(\tR\x07handler\x12'\n\x0finitial_workers\x18\x03 \x01(\x05R\x0ein"
    b"itialWorkers\x12&\n\x0fmax_batch_delay\x18\x04 \x01(\x05R\rmaxBatchD"
    b"elay\x12\x1d\n\nmodel_name\x18\x05 \x01(\tR\tmodelName\x12)\n\x10response_"
    b"timeout\x18\x06 \x01(\x05R\x0fresponseTimeout\x12\x18\n\x07runtime\x18\x07 \x01(\tR"
    b"\x07runtime\x12 \n\x0bsynchronous\x18\x08 \x01(\x08R\x0bsynchronous\x12\x10\n\x03ur"
    b"l\x18\t \x01(\tR\x03url\x12\x1c\n\ns3_sse_kms\x18\n \x01(\x08R\x08s3SseKms\x12'\n\x0fst"
    b'artup_timeout\x18\x0b \x01(\x05R\x0estartupTimeout"\xf1\x01\n\x12ScaleWor'
    b"kerRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmod"
    b"el_version\x18\x02 \x01(\tR\x0cmodelVersion\x12\x1d\n\nmax_worker\x18\x03 \x01"
    b"(\x05R\tmaxWorker\x12\x1d\n\nmin_worker\x18\x04 \x01(\x05R\tminWorker\x12\x1d\n\n"
    b"number_gpu\x18\x05 \x01(\x05R\tnumberGpu\x12 \n\x0bsynchronous\x18\x06 \x01(\x08"
    b'R\x0bsynchronous\x12\x18\n\x07timeout\x18\x07 \x01(\x05R\x07timeout"W\n\x11SetDe'
    b"faultRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rm"
    b'odel_version\x18\x02 \x01(\tR\x0cmodelVersion"\\\n\x16UnregisterMo'
    b"delRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmod"
    b"el_version\x18\x02 \x01(\tR\x0cmodelVersion2\xa0\x06\n\x15ManagementAPI"
    b"sService\x12\x81\x01\n\rDescribeModel\x127.org.pytorch.serve.g"
    b"rpc.management.DescribeModelRequest\x1a5.org.pytorc"
    b'h.serve.grpc.management.ManagementResponse"\x00\x12{\n\n'
    b"ListModels\x124.org.pytorch.serve.grpc.management.L"
    b"istModelsRequest\x1a5.org.pytorch.serve.grpc.manage"
    b'ment.ManagementResponse"\x00\x12\x81\x01\n\rRegisterModel\x127.or'
    b"g.pytorch.serve.grpc.management.RegisterModelReq"
    b"uest\x1a5.org.pytorch.serve.grpc.management.Managem"
    b'entResponse"\x00\x12}\n\x0bScaleWorker\x125.org.pytorch.serve'
    b".grpc.management.ScaleWorkerRequest\x1a5.org.pytorc"
    b'h.serve.grpc.management.ManagementResponse"\x00\x12{\n\n'
    b"SetDefault\x124.org.pytorch.serve.grpc.management.S"
    b"etDefaultRequest\x1a5.org.pytorch.serve.grpc.manage"
    b'ment.ManagementResponse"\x00\x12\x85\x01\n\x0fUnregisterModel\x129.'
    b"org.pytorch.serve.grpc.management.UnregisterMode"
    b"lRequest\x1a5.org.pytorch.serve.grpc.management.Man"
    b'agementResponse"\x00B\x02P\x01b\x06proto3\n\xc4"\n\x19open_inference'
    b"_grpc.proto\x12$org.pytorch.serve.grpc.openinferenc"
    b'e"\x13\n\x11ServerLiveRequest"(\n\x12ServerLiveResponse\x12\x12\n\x04'
    b'live\x18\x01 \x01(\x08R\x04live"\x14\n\x12ServerReadyRequest"+\n\x13Server'
    b'ReadyResponse\x12\x14\n\x05ready\x18\x01 \x01(\x08R\x05ready"A\n\x11ModelRead'
    b"yRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07v"
    b'ersion"*\n\x12ModelReadyResponse\x12\x14\n\x05ready\x18\x01 \x01(\x08R\x05rea'
    b'dy"\x17\n\x15ServerMetadataRequest"f\n\x16ServerMetadataRes'
    b"ponse\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07vers"
    b'ion\x12\x1e\n\nextensions\x18\x03 \x03(\tR\nextensions"D\n\x14ModelMeta'
    b"dataRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\t"
    b'R\x07version"\x85\x03\n\x15ModelMetadataResponse\x12\x12\n\x04name\x18\x01 \x01('
    b"\tR\x04name\x12\x1a\n\x08versions\x18\x02 \x03(\tR\x08versions\x12\x1a\n\x08platform\x18"
    b"\x03 \x01(\tR\x08platform\x12b\n\x06inputs\x18\x04 \x03(\x0b2J.org.pytorch.se"
    b"rve.grpc.openinference.ModelMetadataResponse.Ten"
    b"sorMetadataR\x06inputs\x12d\n\x07outputs\x18\x05 \x03(\x0b2J.org.pytor"
    b"ch.serve.grpc.openinference.ModelMetadataRespons"
    b"e.TensorMetadataR\x07outputs\x1aV\n\x0eTensorMetadata\x12\x12\n\x04n"
    b"ame\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05s"
    b'hape\x18\x03 \x03(\x03R\x05shape"\x91\n\n\x11ModelInferRequest\x12\x1d\n\nmodel'
    b"_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cm"
    b"odelVersion\x12\x0e\n\x02id\x18\x03 \x01(\tR\x02id\x12g\n\nparameters\x18\x04 \x03(\x0b2"
    b"G.org.pytorch.serve.grpc.openinference.ModelInfe"
    b"rRequest.ParametersEntryR\nparameters\x12`\n\x06inputs\x18\x05"
    b" \x03(\x0b2H.org.pytorch.serve.grpc.openinference.Mode"
    b"lInferRequest.InferInputTensorR\x06inputs\x12l\n\x07output"
    b"s\x18\x06 \x03(\x0b2R.org.pytorch.serve.grpc.openinference.M"
    b"odelInferRequest.InferRequestedOutputTensorR\x07out"
    b"puts\x12,\n\x12raw_input_contents\x18\x07 \x03(\x0cR\x10rawInputConten"
    b"ts\x1a\x9e\x03\n\x10InferInputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08d"
    b"atatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05shape\x18\x03 \x03(\x03R\x05shape\x12x\n"
    b"\nparameters\x18\x04 \x03(\x0b2X.org.pytorch.serve.grpc.openi"
    b"nference.ModelInferRequest.InferInputTensor.Para"
    b"metersEntryR\nparameters\x12U\n\x08contents\x18\x05 \x01(\x0b29.org."
    b"pytorch.serve.grpc.openinference.InferTensorCont"
    b"entsR\x08contents\x1as\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03"
    b"key\x12J\n\x05value\x18\x02 \x01(\x0b24.org.pytorch.serve.grpc.open"
    b"inference.InferParameterR\x05value:\x028\x01\x1a\xaa\x02\n\x1aInferReq"
    b"uestedOutputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x82\x01\n\nparam"
    b"eters\x18\x02 \x03(\x0b2b.org.pytorch.serve.grpc.openinferen"
    b"ce.ModelInferRequest.InferRequestedOutputTensor."
    b"ParametersEntryR\nparameters\x1as\n\x0fParametersEntry\x12\x10"
    b"\n\x03key\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02 \x01(\x0b24.org.pytorch.se"
    b"rve.grpc.openinference.InferParameterR\x05value:\x028\x01"
    b"\x1as\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02"
    b" \x01(\x0b24.org.pytorch.serve.grpc.openinference.Infe"
    b'rParameterR\x05value:\x028\x01"\x81\x07\n\x12ModelInferResponse\x12\x1d\n\n'
    b"model_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmodel_version\x18\x02 \x01"
    b"(\tR\x0cmodelVersion\x12\x0e\n\x02id\x18\x03 \x01(\tR\x02id\x12h\n\nparameters\x18\x04"
    b" \x03(\x0b2H.org.pytorch.serve.grpc.openinference.Mode"
    b"lInferResponse.ParametersEntryR\nparameters\x12d\n\x07ou"
    b"tputs\x18\x05 \x03(\x0b2J.org.pytorch.serve.grpc.openinferen"
    b"ce.ModelInferResponse.InferOutputTensorR\x07outputs"
    b"\x12.\n\x13raw_output_contents\x18\x06 \x03(\x0cR\x11rawOutputContents"
    b"\x1a\xa1\x03\n\x11InferOutputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08da"
    b"tatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05shape\x18\x03 \x03(\x03R\x05shape\x12z\n\n"
    b"parameters\x18\x04 \x03(\x0b2Z.org.pytorch.serve.grpc.openin"
    b"ference.ModelInferResponse.InferOutputTensor.Par"
    b"ametersEntryR\nparameters\x12U\n\x08contents\x18\x05 \x01(\x0b29.org"
    b".pytorch.serve.grpc.openinference.InferTensorCon"
    b"tentsR\x08contents\x1as\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR"
    b"\x03key\x12J\n\x05value\x18\x02 \x01(\x0b24.org.pytorch.serve.grpc.ope"
    b"ninference.InferParameterR\x05value:\x028\x01\x1as\n\x0fParamete"
    b"rsEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02 \x01(\x0b24.org.p"
    b"ytorch.serve.grpc.openinference.InferParameterR\x05"
    b'value:\x028\x01"\x8d\x01\n\x0eInferParameter\x12\x1f\n\nbool_param\x18\x01 \x01(\x08'
    b"H\x00R\tboolParam\x12!\n\x0bint64_param\x18\x02 \x01(\x03H\x00R\nint64Param"
    b"\x12#\n\x0cstring_param\x18\x03 \x01(\tH\x00R\x0bstringParamB\x12\n\x10paramet"
    b'er_choice"\xc3\x02\n\x13InferTensorContents\x12#\n\rbool_conten'
    b"ts\x18\x01 \x03(\x08R\x0cboolContents\x12!\n\x0cint_contents\x18\x02 \x03(\x05R\x0bin"
    b"tContents\x12%\n\x0eint64_contents\x18\x03 \x03(\x03R\rint64Contents"
    b"\x12#\n\ruint_contents\x18\x04 \x03(\rR\x0cuintContents\x12'\n\x0fuint64_"
    b"contents\x18\x05 \x03(\x04R\x0euint64Contents\x12#\n\rfp32_contents\x18"
    b"\x06 \x03(\x02R\x0cfp32Contents\x12#\n\rfp64_contents\x18\x07 \x03(\x01R\x0cfp64"
    b"Contents\x12%\n\x0ebytes_contents\x18\x08 \x03(\x0cR\rbytesContents2"
    b"\xc6\x06\n\x14GRPCInferenceService\x12\x81\x01\n\nServerLive\x127.org.py"
    b"torch.serve.grpc.openinference.ServerLiveRequest"
    b"\x1a8.org.pytorch.serve.grpc.openinference.ServerLi"
    b'veResponse"\x00\x12\x84\x01\n\x0bServerReady\x128.org.pytorch.serve'
    b".grpc.openinference.ServerReadyRequest\x1a9.org.pyt"
    b"orch.serve.grpc.openinference.ServerReadyRespons"
    b'e"\x00\x12\x81\x01\n\nModelReady\x127.org.pytorch.serve.grpc.open'
    b"inference.ModelReadyRequest\x1a8.org.pytorch.serve."
    b'grpc.openinference.ModelReadyResponse"\x00\x12\x8d\x01\n\x0eServ'
    b"erMetadata\x12;.org.pytorch.serve.grpc.openinferenc"
    b"e.ServerMetadataRequest\x1a<.org.pytorch.serve.grpc"
    b'.openinference.ServerMetadataResponse"\x00\x12\x8a\x01\n\rMode'
    b"lMetadata\x12:.org.pytorch.serve.grpc.openinference"
    b".ModelMetadataRequest\x1a;.org.pytorch.serve.grpc.o"
    b'peninference.ModelMetadataResponse"\x00\x12\x81\x01\n\nModelIn'
    b"fer\x127.org.pytorch.serve.grpc.openinference.Model"
    b"InferRequest\x1a8.org.pytorch.serve.grpc.openinfere"
    b'nce.ModelInferResponse"\x00B\x02P\x01b\x06proto3\n\xe5\x11\n\x0eworkflo'
    b"w.proto\x12\x1forg.pytorch.serve.grpc.workflow\x1a\x0finfere"
    b'nce.proto\x1a\x10management.proto"\xf9\x01\n\x17RegisterWorkflow'
    b"Request\x12\x10\n\x03url\x18\x01 \x01(\tR\x03url\x12#\n\rworkflow_name\x18\x02 \x01(\t"
    b"R\x0cworkflowName\x12)\n\x10response_timeout\x18\x03 \x01(\x05R\x0frespon"
    b"seTimeout\x12'\n\x0fstartup_timeout\x18\x04 \x01(\x05R\x0estartupTimeo"
    b"ut\x12\x1c\n\ns3_sse_kms\x18\x05 \x01(\x08R\x08s3SseKms\x12%\n\x0bsynchronous\x18"
    b'\x06 \x01(\x08H\x00R\x0bsynchronous\x88\x01\x01B\x0e\n\x0c_synchronous"@\n\x19Unreg'
    b"isterWorkflowRequest\x12#\n\rworkflow_name\x18\x01 \x01(\tR\x0cwor"
    b'kflowName">\n\x17DescribeWorkflowRequest\x12#\n\rworkflow'
    b'_name\x18\x01 \x01(\tR\x0cworkflowName"T\n\x14ListWorkflowsReques'
    b"t\x12\x14\n\x05limit\x18\x01 \x01(\x05R\x05limit\x12&\n\x0fnext_page_token\x18\x02 \x01(\x05"
    b'R\rnextPageToken"\xe7\x01\n\x16WorkflowPredictRequest\x12#\n\rwo'
    b"rkflow_name\x18\x01 \x01(\tR\x0cworkflowName\x12X\n\x05input\x18\x02 \x03(\x0b2B"
    b".org.pytorch.serve.grpc.workflow.WorkflowPredict"
    b"Request.InputEntryR\x05input\x12\x14\n\x05nodes\x18\x03 \x03(\tR\x05nodes\x1a"
    b"8\n\nInputEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05"
    b'value:\x028\x01"\xf7\x02\n\x17WorkflowPredictResponse\x12_\n\x07outputs'
    b"\x18\x01 \x03(\x0b2E.org.pytorch.serve.grpc.workflow.Workflo"
    b"wPredictResponse.OutputsEntryR\x07outputs\x12Y\n\x05trace\x18"
    b"\x02 \x03(\x0b2C.org.pytorch.serve.grpc.workflow.Workflow"
    b"PredictResponse.TraceEntryR\x05trace\x1a:\n\x0cOutputsEntr"
    b"y\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05value:\x028\x01\x1ad\n"
    b"\nTraceEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12@\n\x05value\x18\x02 \x01(\x0b2*.o"
    b"rg.pytorch.serve.grpc.workflow.NodeTraceR\x05value:"
    b'\x028\x01"Y\n\tNodeTrace\x12\x1a\n\x08attempts\x18\x01 \x01(\x05R\x08attempts\x12\x19\n\x08'
    b'queue_us\x18\x02 \x01(\x03R\x07queueUs\x12\x15\n\x06run_us\x18\x03 \x01(\x03R\x05runUs"\x9c'
    b"\x01\n\x0cWorkflowPart\x12\x12\n\x04node\x18\x01 \x01(\tR\x04node\x12\x12\n\x04data\x18\x02 \x01("
    b"\x0cR\x04data\x12\x12\n\x04last\x18\x03 \x01(\x08R\x04last\x12E\n\x06status\x18\x04 \x01(\x0b2(.or"
    b"g.pytorch.serve.grpc.inference.StatusH\x00R\x06status\x88"
    b"\x01\x01B\t\n\x07_status2\xb2\x04\n\x13WorkflowAPIsService\x12\x85\x01\n\x10Regist"
    b"erWorkflow\x128.org.pytorch.serve.grpc.workflow.Reg"
    b"isterWorkflowRequest\x1a5.org.pytorch.serve.grpc.ma"
    b'nagement.ManagementResponse"\x00\x12\x89\x01\n\x12UnregisterWork'
    b"flow\x12:.org.pytorch.serve.grpc.workflow.Unregiste"
    b"rWorkflowRequest\x1a5.org.pytorch.serve.grpc.manage"
    b'ment.ManagementResponse"\x00\x12\x85\x01\n\x10DescribeWorkflow\x128'
    b".org.pytorch.serve.grpc.workflow.DescribeWorkflo"
    b"wRequest\x1a5.org.pytorch.serve.grpc.management.Man"
    b'agementResponse"\x00\x12\x7f\n\rListWorkflows\x125.org.pytorch'
    b".serve.grpc.workflow.ListWorkflowsRequest\x1a5.org."
    b"pytorch.serve.grpc.management.ManagementResponse"
    b'"\x002\x9b\x02\n\x1cWorkflowInferenceAPIsService\x12~\n\x07Predict\x127'
    b".org.pytorch.serve.grpc.workflow.WorkflowPredict"
    b"Request\x1a8.org.pytorch.serve.grpc.workflow.Workfl"
    b'owPredictResponse"\x00\x12{\n\rStreamPredict\x127.org.pytor'
    b"ch.serve.grpc.workflow.WorkflowPredictRequest\x1a-."
    b'org.pytorch.serve.grpc.workflow.WorkflowPart"\x000\x01'
    b"B\x02P\x01b\x06proto3"
)
