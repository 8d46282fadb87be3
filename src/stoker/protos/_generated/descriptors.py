"""Written by scripts/protos: all files of protos/ and what they import, as one FileDescriptorSet."""

FILES = (
    b'\n\xa2:\n\x15grpc_predict_v2.proto\x12\tinference"\x13\n\x11ServerL'
    b'iveRequest"(\n\x12ServerLiveResponse\x12\x12\n\x04live\x18\x01 \x01(\x08R\x04'
    b'live"\x14\n\x12ServerReadyRequest"+\n\x13ServerReadyRespons'
    b'e\x12\x14\n\x05ready\x18\x01 \x01(\x08R\x05ready"A\n\x11ModelReadyRequest\x12\x12\n\x04'
    b'name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version"*\n\x12Mo'
    b'delReadyResponse\x12\x14\n\x05ready\x18\x01 \x01(\x08R\x05ready"\x17\n\x15Server'
    b'MetadataRequest"f\n\x16ServerMetadataResponse\x12\x12\n\x04nam'
    b"e\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version\x12\x1e\n\nexten"
    b'sions\x18\x03 \x03(\tR\nextensions"D\n\x14ModelMetadataRequest\x12'
    b'\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version"\xcf\x02'
    b"\n\x15ModelMetadataResponse\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08v"
    b"ersions\x18\x02 \x03(\tR\x08versions\x12\x1a\n\x08platform\x18\x03 \x01(\tR\x08platf"
    b"orm\x12G\n\x06inputs\x18\x04 \x03(\x0b2/.inference.ModelMetadataRes"
    b"ponse.TensorMetadataR\x06inputs\x12I\n\x07outputs\x18\x05 \x03(\x0b2/."
    b"inference.ModelMetadataResponse.TensorMetadataR\x07"
    b"outputs\x1aV\n\x0eTensorMetadata\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n"
    b'\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05shape\x18\x03 \x03(\x03R\x05shape"'
    b"\x9d\x08\n\x11ModelInferRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodel"
    b"Name\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVersion\x12\x0e\n\x02id\x18"
    b"\x03 \x01(\tR\x02id\x12L\n\nparameters\x18\x04 \x03(\x0b2,.inference.ModelI"
    b"nferRequest.ParametersEntryR\nparameters\x12E\n\x06input"
    b"s\x18\x05 \x03(\x0b2-.inference.ModelInferRequest.InferInput"
    b"TensorR\x06inputs\x12Q\n\x07outputs\x18\x06 \x03(\x0b27.inference.Mode"
    b"lInferRequest.InferRequestedOutputTensorR\x07output"
    b"s\x12,\n\x12raw_input_contents\x18\x07 \x03(\x0cR\x10rawInputContents\x1a"
    b"\xcd\x02\n\x10InferInputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08data"
    b"type\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05shape\x18\x03 \x03(\x03R\x05shape\x12]\n\npa"
    b"rameters\x18\x04 \x03(\x0b2=.inference.ModelInferRequest.Inf"
    b"erInputTensor.ParametersEntryR\nparameters\x12:\n\x08con"
    b"tents\x18\x05 \x01(\x0b2\x1e.inference.InferTensorContentsR\x08con"
    b"tents\x1aX\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12/\n\x05va"
    b"lue\x18\x02 \x01(\x0b2\x19.inference.InferParameterR\x05value:\x028\x01\x1a"
    b"\xf3\x01\n\x1aInferRequestedOutputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR\x04na"
    b"me\x12g\n\nparameters\x18\x02 \x03(\x0b2G.inference.ModelInferReq"
    b"uest.InferRequestedOutputTensor.ParametersEntryR"
    b"\nparameters\x1aX\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key"
    b"\x12/\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferParameterR\x05valu"
    b"e:\x028\x01\x1aX\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12/\n\x05va"
    b'lue\x18\x02 \x01(\x0b2\x19.inference.InferParameterR\x05value:\x028\x01"'
    b"\xdf\x05\n\x12ModelInferResponse\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmode"
    b"lName\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVersion\x12\x0e\n\x02id"
    b"\x18\x03 \x01(\tR\x02id\x12M\n\nparameters\x18\x04 \x03(\x0b2-.inference.Model"
    b"InferResponse.ParametersEntryR\nparameters\x12I\n\x07out"
    b"puts\x18\x05 \x03(\x0b2/.inference.ModelInferResponse.InferO"
    b"utputTensorR\x07outputs\x12.\n\x13raw_output_contents\x18\x06 \x03("
    b"\x0cR\x11rawOutputContents\x1a\xd0\x02\n\x11InferOutputTensor\x12\x12\n\x04na"
    b"me\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05sh"
    b"ape\x18\x03 \x03(\x03R\x05shape\x12_\n\nparameters\x18\x04 \x03(\x0b2?.inference"
    b".ModelInferResponse.InferOutputTensor.Parameters"
    b"EntryR\nparameters\x12:\n\x08contents\x18\x05 \x01(\x0b2\x1e.inference."
    b"InferTensorContentsR\x08contents\x1aX\n\x0fParametersEntry"
    b"\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12/\n\x05value\x18\x02 \x01(\x0b2\x19.inference.In"
    b"ferParameterR\x05value:\x028\x01\x1aX\n\x0fParametersEntry\x12\x10\n\x03ke"
    b"y\x18\x01 \x01(\tR\x03key\x12/\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferPar"
    b'ameterR\x05value:\x028\x01"\xd7\x01\n\x0eInferParameter\x12\x1f\n\nbool_par'
    b"am\x18\x01 \x01(\x08H\x00R\tboolParam\x12!\n\x0bint64_param\x18\x02 \x01(\x03H\x00R\nin"
    b"t64Param\x12#\n\x0cstring_param\x18\x03 \x01(\tH\x00R\x0bstringParam\x12#\n"
    b"\x0cdouble_param\x18\x04 \x01(\x01H\x00R\x0bdoubleParam\x12#\n\x0cuint64_par"
    b'am\x18\x05 \x01(\x04H\x00R\x0buint64ParamB\x12\n\x10parameter_choice"\xc3\x02\n\x13'
    b"InferTensorContents\x12#\n\rbool_contents\x18\x01 \x03(\x08R\x0cbool"
    b"Contents\x12!\n\x0cint_contents\x18\x02 \x03(\x05R\x0bintContents\x12%\n\x0ei"
    b"nt64_contents\x18\x03 \x03(\x03R\rint64Contents\x12#\n\ruint_conte"
    b"nts\x18\x04 \x03(\rR\x0cuintContents\x12'\n\x0fuint64_contents\x18\x05 \x03(\x04"
    b"R\x0euint64Contents\x12#\n\rfp32_contents\x18\x06 \x03(\x02R\x0cfp32Con"
    b"tents\x12#\n\rfp64_contents\x18\x07 \x03(\x01R\x0cfp64Contents\x12%\n\x0eby"
    b'tes_contents\x18\x08 \x03(\x0cR\rbytesContents"\x85\x01\n\x18ModelStrea'
    b"mInferResponse\x12#\n\rerror_message\x18\x01 \x01(\tR\x0cerrorMess"
    b"age\x12D\n\x0einfer_response\x18\x02 \x01(\x0b2\x1d.inference.ModelInf"
    b'erResponseR\rinferResponse"\x9f\x02\n\x1aRepositoryModelLoa'
    b"dRequest\x12'\n\x0frepository_name\x18\x01 \x01(\tR\x0erepositoryNam"
    b"e\x12\x1d\n\nmodel_name\x18\x02 \x01(\tR\tmodelName\x12U\n\nparameters\x18\x03"
    b" \x03(\x0b25.inference.RepositoryModelLoadRequest.Para"
    b"metersEntryR\nparameters\x1ab\n\x0fParametersEntry\x12\x10\n\x03ke"
    b"y\x18\x01 \x01(\tR\x03key\x129\n\x05value\x18\x02 \x01(\x0b2#.inference.ModelRep"
    b'ositoryParameterR\x05value:\x028\x01"Y\n\x1bRepositoryModelLo'
    b"adResponse\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12\x1b\n\tis_"
    b'loaded\x18\x02 \x01(\x08R\x08isLoaded"\xa3\x02\n\x1cRepositoryModelUnload'
    b"Request\x12'\n\x0frepository_name\x18\x01 \x01(\tR\x0erepositoryName"
    b"\x12\x1d\n\nmodel_name\x18\x02 \x01(\tR\tmodelName\x12W\n\nparameters\x18\x03 "
    b"\x03(\x0b27.inference.RepositoryModelUnloadRequest.Par"
    b"ametersEntryR\nparameters\x1ab\n\x0fParametersEntry\x12\x10\n\x03k"
    b"ey\x18\x01 \x01(\tR\x03key\x129\n\x05value\x18\x02 \x01(\x0b2#.inference.ModelRe"
    b'positoryParameterR\x05value:\x028\x01"_\n\x1dRepositoryModelU'
    b"nloadResponse\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12\x1f\n\x0b"
    b'is_unloaded\x18\x02 \x01(\x08R\nisUnloaded"\xba\x01\n\x18ModelRepositor'
    b"yParameter\x12\x1f\n\nbool_param\x18\x01 \x01(\x08H\x00R\tboolParam\x12!\n\x0bi"
    b"nt64_param\x18\x02 \x01(\x03H\x00R\nint64Param\x12#\n\x0cstring_param\x18\x03"
    b" \x01(\tH\x00R\x0bstringParam\x12!\n\x0bbytes_param\x18\x04 \x01(\x0cH\x00R\nbyte"
    b'sParamB\x12\n\x10parameter_choice"W\n\x16RepositoryIndexReq'
    b"uest\x12'\n\x0frepository_name\x18\x01 \x01(\tR\x0erepositoryName\x12\x14\n"
    b'\x05ready\x18\x02 \x01(\x08R\x05ready"\xca\x01\n\x17RepositoryIndexResponse\x12'
    b"E\n\x06models\x18\x01 \x03(\x0b2-.inference.RepositoryIndexRespo"
    b"nse.ModelIndexR\x06models\x1ah\n\nModelIndex\x12\x12\n\x04name\x18\x01 \x01"
    b"(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version\x12\x14\n\x05state\x18\x03 \x01("
    b'\tR\x05state\x12\x16\n\x06reason\x18\x04 \x01(\tR\x06reason"f\n\nModelInput\x12\x12'
    b"\n\x04name\x18\x01 \x01(\tR\x04name\x120\n\tdata_type\x18\x02 \x01(\x0e2\x13.inferenc"
    b'e.DataTypeR\x08dataType\x12\x12\n\x04dims\x18\x04 \x03(\x03R\x04dims"g\n\x0bMode'
    b"lOutput\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x120\n\tdata_type\x18\x02 \x01(\x0e2\x13"
    b".inference.DataTypeR\x08dataType\x12\x12\n\x04dims\x18\x03 \x03(\x03R\x04dim"
    b's"6\n\x16ModelTransactionPolicy\x12\x1c\n\tdecoupled\x18\x01 \x01(\x08R\t'
    b'decoupled"\xb7\x02\n\x0bModelConfig\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n'
    b"\x08platform\x18\x02 \x01(\tR\x08platform\x12$\n\x0emax_batch_size\x18\x04 \x01("
    b"\x05R\x0cmaxBatchSize\x12+\n\x05input\x18\x05 \x03(\x0b2\x15.inference.Model"
    b"InputR\x05input\x12.\n\x06output\x18\x06 \x03(\x0b2\x16.inference.ModelOu"
    b"tputR\x06output\x12\x18\n\x07backend\x18\x11 \x01(\tR\x07backend\x12[\n\x18model_"
    b"transaction_policy\x18\x13 \x01(\x0b2!.inference.ModelTransa"
    b'ctionPolicyR\x16modelTransactionPolicy"B\n\x12ModelConf'
    b"igRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07"
    b'version"E\n\x13ModelConfigResponse\x12.\n\x06config\x18\x01 \x01(\x0b2\x16'
    b'.inference.ModelConfigR\x06config"F\n\x16ModelStatistic'
    b"sRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07v"
    b'ersion"V\n\x17ModelStatisticsResponse\x12;\n\x0bmodel_stats'
    b'\x18\x01 \x03(\x0b2\x1a.inference.ModelStatisticsR\nmodelStats"9'
    b"\n\x11StatisticDuration\x12\x14\n\x05count\x18\x01 \x01(\x04R\x05count\x12\x0e\n\x02ns\x18"
    b'\x02 \x01(\x04R\x02ns"\xfa\x02\n\x0fInferStatistics\x126\n\x07success\x18\x01 \x01(\x0b2\x1c'
    b".inference.StatisticDurationR\x07success\x120\n\x04fail\x18\x02 "
    b"\x01(\x0b2\x1c.inference.StatisticDurationR\x04fail\x122\n\x05queue"
    b"\x18\x03 \x01(\x0b2\x1c.inference.StatisticDurationR\x05queue\x12A\n\rc"
    b"ompute_input\x18\x04 \x01(\x0b2\x1c.inference.StatisticDuration"
    b"R\x0ccomputeInput\x12A\n\rcompute_infer\x18\x05 \x01(\x0b2\x1c.inferenc"
    b"e.StatisticDurationR\x0ccomputeInfer\x12C\n\x0ecompute_out"
    b"put\x18\x06 \x01(\x0b2\x1c.inference.StatisticDurationR\rcompute"
    b'Output"\xfd\x01\n\x0fModelStatistics\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18'
    b"\n\x07version\x18\x02 \x01(\tR\x07version\x12%\n\x0elast_inference\x18\x03 \x01(\x04"
    b"R\rlastInference\x12'\n\x0finference_count\x18\x04 \x01(\x04R\x0einfere"
    b"nceCount\x12'\n\x0fexecution_count\x18\x05 \x01(\x04R\x0eexecutionCoun"
    b"t\x12C\n\x0finference_stats\x18\x06 \x01(\x0b2\x1a.inference.InferStat"
    b"isticsR\x0einferenceStats*\xfa\x01\n\x08DataType\x12\x10\n\x0cTYPE_INVA"
    b"LID\x10\x00\x12\r\n\tTYPE_BOOL\x10\x01\x12\x0e\n\nTYPE_UINT8\x10\x02\x12\x0f\n\x0bTYPE_UIN"
    b"T16\x10\x03\x12\x0f\n\x0bTYPE_UINT32\x10\x04\x12\x0f\n\x0bTYPE_UINT64\x10\x05\x12\r\n\tTYPE_"
    b"INT8\x10\x06\x12\x0e\n\nTYPE_INT16\x10\x07\x12\x0e\n\nTYPE_INT32\x10\x08\x12\x0e\n\nTYPE_I"
    b"NT64\x10\t\x12\r\n\tTYPE_FP16\x10\n\x12\r\n\tTYPE_FP32\x10\x0b\x12\r\n\tTYPE_FP6"
    b"4\x10\x0c\x12\x0f\n\x0bTYPE_STRING\x10\r\x12\r\n\tTYPE_BF16\x10\x0e2\xb7\x08\n\x14GRPCInfe"
    b"renceService\x12K\n\nServerLive\x12\x1c.inference.ServerLiv"
    b'eRequest\x1a\x1d.inference.ServerLiveResponse"\x00\x12N\n\x0bSer'
    b"verReady\x12\x1d.inference.ServerReadyRequest\x1a\x1e.infere"
    b'nce.ServerReadyResponse"\x00\x12K\n\nModelReady\x12\x1c.infere'
    b"nce.ModelReadyRequest\x1a\x1d.inference.ModelReadyResp"
    b'onse"\x00\x12W\n\x0eServerMetadata\x12 .inference.ServerMetad'
    b'ataRequest\x1a!.inference.ServerMetadataResponse"\x00\x12'
    b"T\n\rModelMetadata\x12\x1f.inference.ModelMetadataReques"
    b't\x1a .inference.ModelMetadataResponse"\x00\x12K\n\nModelIn'
    b"fer\x12\x1c.inference.ModelInferRequest\x1a\x1d.inference.Mo"
    b'delInferResponse"\x00\x12[\n\x10ModelStreamInfer\x12\x1c.inferen'
    b"ce.ModelInferRequest\x1a#.inference.ModelStreamInfe"
    b'rResponse"\x00(\x010\x01\x12N\n\x0bModelConfig\x12\x1d.inference.Model'
    b'ConfigRequest\x1a\x1e.inference.ModelConfigResponse"\x00\x12'
    b"Z\n\x0fModelStatistics\x12!.inference.ModelStatisticsRe"
    b'quest\x1a".inference.ModelStatisticsResponse"\x00\x12Z\n\x0fR'
    b"epositoryIndex\x12!.inference.RepositoryIndexReques"
    b't\x1a".inference.RepositoryIndexResponse"\x00\x12f\n\x13Repos'
    b"itoryModelLoad\x12%.inference.RepositoryModelLoadRe"
    b'quest\x1a&.inference.RepositoryModelLoadResponse"\x00\x12'
    b"l\n\x15RepositoryModelUnload\x12'.inference.RepositoryM"
    b"odelUnloadRequest\x1a(.inference.RepositoryModelUnl"
    b'oadResponse"\x00b\x06proto3\n\xe4\x01\n\x19google/protobuf/any.pr'
    b'oto\x12\x0fgoogle.protobuf"6\n\x03Any\x12\x19\n\x08type_url\x18\x01 \x01(\tR\x07t'
    b"ypeUrl\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05valueBv\n\x13com.google.proto"
    b"bufB\x08AnyProtoP\x01Z,google.golang.org/protobuf/type"
    b"s/known/anypb\xa2\x02\x03GPB\xaa\x02\x1eGoogle.Protobuf.WellKnownT"
    b"ypesb\x06proto3\n\xbe\x01\n\x1bgoogle/protobuf/empty.proto\x12\x0fgo"
    b'ogle.protobuf"\x07\n\x05EmptyB}\n\x13com.google.protobufB\nE'
    b"mptyProtoP\x01Z.google.golang.org/protobuf/types/kn"
    b"own/emptypb\xf8\x01\x01\xa2\x02\x03GPB\xaa\x02\x1eGoogle.Protobuf.WellKnown"
    b"Typesb\x06proto3\n\xf7\t\n\x0finference.proto\x12 org.pytorch.s"
    b"erve.grpc.inference\x1a\x19google/protobuf/any.proto\x1a\x1b"
    b'google/protobuf/empty.proto"\x9f\x02\n\x12PredictionsReque'
    b"st\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmodel_versi"
    b"on\x18\x02 \x01(\tR\x0cmodelVersion\x12U\n\x05input\x18\x03 \x03(\x0b2?.org.pyto"
    b"rch.serve.grpc.inference.PredictionsRequest.Inpu"
    b"tEntryR\x05input\x12$\n\x0bsequence_id\x18\x04 \x01(\tH\x00R\nsequenceId"
    b"\x88\x01\x01\x1a8\n\nInputEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01"
    b'(\x0cR\x05value:\x028\x01B\x0e\n\x0c_sequence_id"\xbc\x01\n\x12PredictionResp'
    b"onse\x12\x1e\n\nprediction\x18\x01 \x01(\x0cR\nprediction\x12$\n\x0bsequence"
    b"_id\x18\x02 \x01(\tH\x00R\nsequenceId\x88\x01\x01\x12E\n\x06status\x18\x03 \x01(\x0b2(.org"
    b".pytorch.serve.grpc.inference.StatusH\x01R\x06status\x88\x01"
    b'\x01B\x0e\n\x0c_sequence_idB\t\n\x07_status"2\n\x18TorchServeHealth'
    b'Response\x12\x16\n\x06health\x18\x01 \x01(\tR\x06health"f\n\x06Status\x12\x12\n\x04co'
    b"de\x18\x01 \x01(\x05R\x04code\x12\x18\n\x07message\x18\x02 \x01(\tR\x07message\x12.\n\x07deta"
    b"ils\x18\x03 \x03(\x0b2\x14.google.protobuf.AnyR\x07details2\x80\x04\n\x14Inf"
    b"erenceAPIsService\x12\\\n\x04Ping\x12\x16.google.protobuf.Empt"
    b"y\x1a:.org.pytorch.serve.grpc.inference.TorchServeH"
    b'ealthResponse"\x00\x12{\n\x0bPredictions\x124.org.pytorch.ser'
    b"ve.grpc.inference.PredictionsRequest\x1a4.org.pytor"
    b'ch.serve.grpc.inference.PredictionResponse"\x00\x12\x83\x01\n'
    b"\x11StreamPredictions\x124.org.pytorch.serve.grpc.infe"
    b"rence.PredictionsRequest\x1a4.org.pytorch.serve.grp"
    b'c.inference.PredictionResponse"\x000\x01\x12\x86\x01\n\x12StreamPre'
    b"dictions2\x124.org.pytorch.serve.grpc.inference.Pre"
    b"dictionsRequest\x1a4.org.pytorch.serve.grpc.inferen"
    b'ce.PredictionResponse"\x00(\x010\x01B\x02P\x01b\x06proto3\n\x88\x0f\n\x10mana'
    b'gement.proto\x12!org.pytorch.serve.grpc.management"'
    b'&\n\x12ManagementResponse\x12\x10\n\x03msg\x18\x01 \x01(\tR\x03msg"z\n\x14Descr'
    b"ibeModelRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#"
    b"\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVersion\x12\x1e\n\ncustomize"
    b'd\x18\x03 \x01(\x08R\ncustomized"Q\n\x11ListModelsRequest\x12\x14\n\x05limi'
    b"t\x18\x01 \x01(\x05R\x05limit\x12&\n\x0fnext_page_token\x18\x02 \x01(\x05R\rnextPag"
    b'eToken"\xff\x02\n\x14RegisterModelRequest\x12\x1d\n\nbatch_size\x18\x01 '
    b"\x01(\x05R\tbatchSize\x12\x18\n\x07handler\x18\x02 \x01(\tR\x07handler\x12'\n\x0finit"
    b"ial_workers\x18\x03 \x01(\x05R\x0einitialWorkers\x12&\n\x0fmax_batch_d"
    b"elay\x18\x04 \x01(\x05R\rmaxBatchDelay\x12\x1d\n\nmodel_name\x18\x05 \x01(\tR\tm"
    b"odelName\x12)\n\x10response_timeout\x18\x06 \x01(\x05R\x0fresponseTime"
    b"out\x12\x18\n\x07runtime\x18\x07 \x01(\tR\x07runtime\x12 \n\x0bsynchronous\x18\x08 \x01"
    b"(\x08R\x0bsynchronous\x12\x10\n\x03url\x18\t \x01(\tR\x03url\x12\x1c\n\ns3_sse_kms\x18"
    b"\n \x01(\x08R\x08s3SseKms\x12'\n\x0fstartup_timeout\x18\x0b \x01(\x05R\x0estartu"
    b'pTimeout"\xf1\x01\n\x12ScaleWorkerRequest\x12\x1d\n\nmodel_name\x18\x01 '
    b"\x01(\tR\tmodelName\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVers"
    b"ion\x12\x1d\n\nmax_worker\x18\x03 \x01(\x05R\tmaxWorker\x12\x1d\n\nmin_worker"
    b"\x18\x04 \x01(\x05R\tminWorker\x12\x1d\n\nnumber_gpu\x18\x05 \x01(\x05R\tnumberGpu"
    b"\x12 \n\x0bsynchronous\x18\x06 \x01(\x08R\x0bsynchronous\x12\x18\n\x07timeout\x18\x07 "
    b'\x01(\x05R\x07timeout"W\n\x11SetDefaultRequest\x12\x1d\n\nmodel_name\x18'
    b"\x01 \x01(\tR\tmodelName\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVe"
    b'rsion"\\\n\x16UnregisterModelRequest\x12\x1d\n\nmodel_name\x18\x01 '
    b"\x01(\tR\tmodelName\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVers"
    b"ion2\xa0\x06\n\x15ManagementAPIsService\x12\x81\x01\n\rDescribeModel\x12"
    b"7.org.pytorch.serve.grpc.management.DescribeMode"
    b"lRequest\x1a5.org.pytorch.serve.grpc.management.Man"
    b'agementResponse"\x00\x12{\n\nListModels\x124.org.pytorch.se'
    b"rve.grpc.management.ListModelsRequest\x1a5.org.pyto"
    b'rch.serve.grpc.management.ManagementResponse"\x00\x12\x81'
    b"\x01\n\rRegisterModel\x127.org.pytorch.serve.grpc.manage"
    b"ment.RegisterModelRequest\x1a5.org.pytorch.serve.gr"
    b'pc.management.ManagementResponse"\x00\x12}\n\x0bScaleWorke'
    b"r\x125.org.pytorch.serve.grpc.management.ScaleWorke"
    b"rRequest\x1a5.org.pytorch.serve.grpc.management.Man"
    b'agementResponse"\x00\x12{\n\nSetDefault\x124.org.pytorch.se'
    b"rve.grpc.management.SetDefaultRequest\x1a5.org.pyto"
    b'rch.serve.grpc.management.ManagementResponse"\x00\x12\x85'
    b"\x01\n\x0fUnregisterModel\x129.org.pytorch.serve.grpc.mana"
    b"gement.UnregisterModelRequest\x1a5.org.pytorch.serv"
    b'e.grpc.management.ManagementResponse"\x00B\x02P\x01b\x06prot'
    b"o3\n\x8e#\n\x19open_inference_grpc.proto\x12$org.pytorch.se"
    b'rve.grpc.openinference"\x13\n\x11ServerLiveRequest"(\n\x12S'
    b'erverLiveResponse\x12\x12\n\x04live\x18\x01 \x01(\x08R\x04live"\x14\n\x12ServerR'
    b'eadyRequest"+\n\x13ServerReadyResponse\x12\x14\n\x05ready\x18\x01 \x01('
    b'\x08R\x05ready"A\n\x11ModelReadyRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04nam'
    b'e\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version"*\n\x12ModelReadyRespons'
    b'e\x12\x14\n\x05ready\x18\x01 \x01(\x08R\x05ready"\x17\n\x15ServerMetadataRequest'
    b'"f\n\x16ServerMetadataResponse\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18'
    b"\n\x07version\x18\x02 \x01(\tR\x07version\x12\x1e\n\nextensions\x18\x03 \x03(\tR\nex"
    b'tensions"D\n\x14ModelMetadataRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04'
    b'name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version"\x85\x03\n\x15ModelMetadata'
    b"Response\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08versions\x18\x02 \x03(\tR\x08"
    b"versions\x12\x1a\n\x08platform\x18\x03 \x01(\tR\x08platform\x12b\n\x06inputs\x18\x04"
    b" \x03(\x0b2J.org.pytorch.serve.grpc.openinference.Mode"
    b"lMetadataResponse.TensorMetadataR\x06inputs\x12d\n\x07outp"
    b"uts\x18\x05 \x03(\x0b2J.org.pytorch.serve.grpc.openinference"
    b".ModelMetadataResponse.TensorMetadataR\x07outputs\x1aV"
    b"\n\x0eTensorMetadata\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08datatype"
    b'\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05shape\x18\x03 \x03(\x03R\x05shape"\x91\n\n\x11Model'
    b"InferRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rm"
    b"odel_version\x18\x02 \x01(\tR\x0cmodelVersion\x12\x0e\n\x02id\x18\x03 \x01(\tR\x02id"
    b"\x12g\n\nparameters\x18\x04 \x03(\x0b2G.org.pytorch.serve.grpc.op"
    b"eninference.ModelInferRequest.ParametersEntryR\np"
    b"arameters\x12`\n\x06inputs\x18\x05 \x03(\x0b2H.org.pytorch.serve.gr"
    b"pc.openinference.ModelInferRequest.InferInputTen"
    b"sorR\x06inputs\x12l\n\x07outputs\x18\x06 \x03(\x0b2R.org.pytorch.serve"
    b".grpc.openinference.ModelInferRequest.InferReque"
    b"stedOutputTensorR\x07outputs\x12,\n\x12raw_input_contents\x18"
    b"\x07 \x03(\x0cR\x10rawInputContents\x1a\x9e\x03\n\x10InferInputTensor\x12\x12\n\x04"
    b"name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05"
    b"shape\x18\x03 \x03(\x03R\x05shape\x12x\n\nparameters\x18\x04 \x03(\x0b2X.org.pyt"
    b"orch.serve.grpc.openinference.ModelInferRequest."
    b"InferInputTensor.ParametersEntryR\nparameters\x12U\n\x08"
    b"contents\x18\x05 \x01(\x0b29.org.pytorch.serve.grpc.openinfe"
    b"rence.InferTensorContentsR\x08contents\x1as\n\x0fParameter"
    b"sEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02 \x01(\x0b24.org.py"
    b"torch.serve.grpc.openinference.InferParameterR\x05v"
    b"alue:\x028\x01\x1a\xaa\x02\n\x1aInferRequestedOutputTensor\x12\x12\n\x04name\x18"
    b"\x01 \x01(\tR\x04name\x12\x82\x01\n\nparameters\x18\x02 \x03(\x0b2b.org.pytorch.s"
    b"erve.grpc.openinference.ModelInferRequest.InferR"
    b"equestedOutputTensor.ParametersEntryR\nparameters"
    b"\x1as\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02"
    b" \x01(\x0b24.org.pytorch.serve.grpc.openinference.Infe"
    b"rParameterR\x05value:\x028\x01\x1as\n\x0fParametersEntry\x12\x10\n\x03key\x18"
    b"\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02 \x01(\x0b24.org.pytorch.serve.gr"
    b'pc.openinference.InferParameterR\x05value:\x028\x01"\x81\x07\n\x12M'
    b"odelInferResponse\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName"
    b"\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVersion\x12\x0e\n\x02id\x18\x03 \x01("
    b"\tR\x02id\x12h\n\nparameters\x18\x04 \x03(\x0b2H.org.pytorch.serve.gr"
    b"pc.openinference.ModelInferResponse.ParametersEn"
    b"tryR\nparameters\x12d\n\x07outputs\x18\x05 \x03(\x0b2J.org.pytorch.s"
    b"erve.grpc.openinference.ModelInferResponse.Infer"
    b"OutputTensorR\x07outputs\x12.\n\x13raw_output_contents\x18\x06 \x03"
    b"(\x0cR\x11rawOutputContents\x1a\xa1\x03\n\x11InferOutputTensor\x12\x12\n\x04n"
    b"ame\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05s"
    b"hape\x18\x03 \x03(\x03R\x05shape\x12z\n\nparameters\x18\x04 \x03(\x0b2Z.org.pyto"
    b"rch.serve.grpc.openinference.ModelInferResponse."
    b"InferOutputTensor.ParametersEntryR\nparameters\x12U\n"
    b"\x08contents\x18\x05 \x01(\x0b29.org.pytorch.serve.grpc.openinf"
    b"erence.InferTensorContentsR\x08contents\x1as\n\x0fParamete"
    b"rsEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02 \x01(\x0b24.org.p"
    b"ytorch.serve.grpc.openinference.InferParameterR\x05"
    b"value:\x028\x01\x1as\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12J"
    b"\n\x05value\x18\x02 \x01(\x0b24.org.pytorch.serve.grpc.openinfer"
    b'ence.InferParameterR\x05value:\x028\x01"\xd7\x01\n\x0eInferParamete'
    b"r\x12\x1f\n\nbool_param\x18\x01 \x01(\x08H\x00R\tboolParam\x12!\n\x0bint64_para"
    b"m\x18\x02 \x01(\x03H\x00R\nint64Param\x12#\n\x0cstring_param\x18\x03 \x01(\tH\x00R\x0bs"
    b"tringParam\x12#\n\x0cdouble_param\x18\x04 \x01(\x01H\x00R\x0bdoubleParam\x12"
    b"#\n\x0cuint64_param\x18\x05 \x01(\x04H\x00R\x0buint64ParamB\x12\n\x10paramete"
    b'r_choice"\xc3\x02\n\x13InferTensorContents\x12#\n\rbool_content'
    b"s\x18\x01 \x03(\x08R\x0cboolContents\x12!\n\x0cint_contents\x18\x02 \x03(\x05R\x0bint"
    b"Contents\x12%\n\x0eint64_contents\x18\x03 \x03(\x03R\rint64Contents\x12"
    b"#\n\ruint_contents\x18\x04 \x03(\rR\x0cuintContents\x12'\n\x0fuint64_c"
    b"ontents\x18\x05 \x03(\x04R\x0euint64Contents\x12#\n\rfp32_contents\x18\x06"
    b" \x03(\x02R\x0cfp32Contents\x12#\n\rfp64_contents\x18\x07 \x03(\x01R\x0cfp64C"
    b"ontents\x12%\n\x0ebytes_contents\x18\x08 \x03(\x0cR\rbytesContents2\xc6"
    b"\x06\n\x14GRPCInferenceService\x12\x81\x01\n\nServerLive\x127.org.pyt"
    b"orch.serve.grpc.openinference.ServerLiveRequest\x1a"
    b"8.org.pytorch.serve.grpc.openinference.ServerLiv"
    b'eResponse"\x00\x12\x84\x01\n\x0bServerReady\x128.org.pytorch.serve.'
    b"grpc.openinference.ServerReadyRequest\x1a9.org.pyto"
    b"rch.serve.grpc.openinference.ServerReadyResponse"
    b'"\x00\x12\x81\x01\n\nModelReady\x127.org.pytorch.serve.grpc.openi'
    b"nference.ModelReadyRequest\x1a8.org.pytorch.serve.g"
    b'rpc.openinference.ModelReadyResponse"\x00\x12\x8d\x01\n\x0eServe'
    b"rMetadata\x12;.org.pytorch.serve.grpc.openinference"
    b".ServerMetadataRequest\x1a<.org.pytorch.serve.grpc."
    b'openinference.ServerMetadataResponse"\x00\x12\x8a\x01\n\rModel'
    b"Metadata\x12:.org.pytorch.serve.grpc.openinference."
    b"ModelMetadataRequest\x1a;.org.pytorch.serve.grpc.op"
    b'eninference.ModelMetadataResponse"\x00\x12\x81\x01\n\nModelInf'
    b"er\x127.org.pytorch.serve.grpc.openinference.ModelI"
    b"nferRequest\x1a8.org.pytorch.serve.grpc.openinferen"
    b'ce.ModelInferResponse"\x00B\x02P\x01b\x06proto3\n\xe5\x11\n\x0eworkflow'
    b".proto\x12\x1forg.pytorch.serve.grpc.workflow\x1a\x0finferen"
    b'ce.proto\x1a\x10management.proto"\xf9\x01\n\x17RegisterWorkflowR'
    b"equest\x12\x10\n\x03url\x18\x01 \x01(\tR\x03url\x12#\n\rworkflow_name\x18\x02 \x01(\tR"
    b"\x0cworkflowName\x12)\n\x10response_timeout\x18\x03 \x01(\x05R\x0frespons"
    b"eTimeout\x12'\n\x0fstartup_timeout\x18\x04 \x01(\x05R\x0estartupTimeou"
    b"t\x12\x1c\n\ns3_sse_kms\x18\x05 \x01(\x08R\x08s3SseKms\x12%\n\x0bsynchronous\x18\x06"
    b' \x01(\x08H\x00R\x0bsynchronous\x88\x01\x01B\x0e\n\x0c_synchronous"@\n\x19Unregi'
    b"sterWorkflowRequest\x12#\n\rworkflow_name\x18\x01 \x01(\tR\x0cwork"
    b'flowName">\n\x17DescribeWorkflowRequest\x12#\n\rworkflow_'
    b'name\x18\x01 \x01(\tR\x0cworkflowName"T\n\x14ListWorkflowsRequest'
    b"\x12\x14\n\x05limit\x18\x01 \x01(\x05R\x05limit\x12&\n\x0fnext_page_token\x18\x02 \x01(\x05R"
    b'\rnextPageToken"\xe7\x01\n\x16WorkflowPredictRequest\x12#\n\rwor'
    b"kflow_name\x18\x01 \x01(\tR\x0cworkflowName\x12X\n\x05input\x18\x02 \x03(\x0b2B."
    b"org.pytorch.serve.grpc.workflow.WorkflowPredictR"
    b"equest.InputEntryR\x05input\x12\x14\n\x05nodes\x18\x03 \x03(\tR\x05nodes\x1a8"
    b"\n\nInputEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05v"
    b'alue:\x028\x01"\xf7\x02\n\x17WorkflowPredictResponse\x12_\n\x07outputs\x18'
    b"\x01 \x03(\x0b2E.org.pytorch.serve.grpc.workflow.Workflow"
    b"PredictResponse.OutputsEntryR\x07outputs\x12Y\n\x05trace\x18\x02"
    b" \x03(\x0b2C.org.pytorch.serve.grpc.workflow.WorkflowP"
    b"redictResponse.TraceEntryR\x05trace\x1a:\n\x0cOutputsEntry"
    b"\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05value:\x028\x01\x1ad\n\n"
    b"TraceEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12@\n\x05value\x18\x02 \x01(\x0b2*.or"
    b"g.pytorch.serve.grpc.workflow.NodeTraceR\x05value:\x02"
    b'8\x01"Y\n\tNodeTrace\x12\x1a\n\x08attempts\x18\x01 \x01(\x05R\x08attempts\x12\x19\n\x08q'
    b'ueue_us\x18\x02 \x01(\x03R\x07queueUs\x12\x15\n\x06run_us\x18\x03 \x01(\x03R\x05runUs"\x9c\x01'
    b"\n\x0cWorkflowPart\x12\x12\n\x04node\x18\x01 \x01(\tR\x04node\x12\x12\n\x04data\x18\x02 \x01(\x0c"
    b"R\x04data\x12\x12\n\x04last\x18\x03 \x01(\x08R\x04last\x12E\n\x06status\x18\x04 \x01(\x0b2(.org"
    b".pytorch.serve.grpc.inference.StatusH\x00R\x06status\x88\x01"
    b"\x01B\t\n\x07_status2\xb2\x04\n\x13WorkflowAPIsService\x12\x85\x01\n\x10Registe"
    b"rWorkflow\x128.org.pytorch.serve.grpc.workflow.Regi"
    b"sterWorkflowRequest\x1a5.org.pytorch.serve.grpc.man"
    b'agement.ManagementResponse"\x00\x12\x89\x01\n\x12UnregisterWorkf'
    b"low\x12:.org.pytorch.serve.grpc.workflow.Unregister"
    b"WorkflowRequest\x1a5.org.pytorch.serve.grpc.managem"
    b'ent.ManagementResponse"\x00\x12\x85\x01\n\x10DescribeWorkflow\x128.'
    b"org.pytorch.serve.grpc.workflow.DescribeWorkflow"
    b"Request\x1a5.org.pytorch.serve.grpc.management.Mana"
    b'gementResponse"\x00\x12\x7f\n\rListWorkflows\x125.org.pytorch.'
    b"serve.grpc.workflow.ListWorkflowsRequest\x1a5.org.p"
    b'ytorch.serve.grpc.management.ManagementResponse"'
    b"\x002\x9b\x02\n\x1cWorkflowInferenceAPIsService\x12~\n\x07Predict\x127."
    b"org.pytorch.serve.grpc.workflow.WorkflowPredictR"
    b"equest\x1a8.org.pytorch.serve.grpc.workflow.Workflo"
    b'wPredictResponse"\x00\x12{\n\rStreamPredict\x127.org.pytorc'
    b"h.serve.grpc.workflow.WorkflowPredictRequest\x1a-.o"
    b'rg.pytorch.serve.grpc.workflow.WorkflowPart"\x000\x01B'
    b"\x02P\x01b\x06proto3"
)
