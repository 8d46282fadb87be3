"""Written by scripts/protos: all files of protos/ and what they import, as one FileDescriptorSet."""

FILES = (
    b'\n\xe7<\n\x15grpc_predict_v2.proto\x12\tinference"\x13\n\x11ServerL'
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
    b'Output"\x80\x02\n\x14InferBatchStatistics\x12\x1d\n\nbatch_size\x18\x01 '
    b"\x01(\x04R\tbatchSize\x12A\n\rcompute_input\x18\x02 \x01(\x0b2\x1c.inferenc"
    b"e.StatisticDurationR\x0ccomputeInput\x12A\n\rcompute_inf"
    b"er\x18\x03 \x01(\x0b2\x1c.inference.StatisticDurationR\x0ccomputeI"
    b"nfer\x12C\n\x0ecompute_output\x18\x04 \x01(\x0b2\x1c.inference.Statist"
    b'icDurationR\rcomputeOutput"\xbf\x02\n\x0fModelStatistics\x12\x12\n'
    b"\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02 \x01(\tR\x07version\x12%\n\x0el"
    b"ast_inference\x18\x03 \x01(\x04R\rlastInference\x12'\n\x0finference_"
    b"count\x18\x04 \x01(\x04R\x0einferenceCount\x12'\n\x0fexecution_count\x18\x05"
    b" \x01(\x04R\x0eexecutionCount\x12C\n\x0finference_stats\x18\x06 \x01(\x0b2\x1a."
    b"inference.InferStatisticsR\x0einferenceStats\x12@\n\x0bbat"
    b"ch_stats\x18\x07 \x03(\x0b2\x1f.inference.InferBatchStatisticsR"
    b"\nbatchStats*\xfa\x01\n\x08DataType\x12\x10\n\x0cTYPE_INVALID\x10\x00\x12\r\n\tTY"
    b"PE_BOOL\x10\x01\x12\x0e\n\nTYPE_UINT8\x10\x02\x12\x0f\n\x0bTYPE_UINT16\x10\x03\x12\x0f\n\x0bTY"
    b"PE_UINT32\x10\x04\x12\x0f\n\x0bTYPE_UINT64\x10\x05\x12\r\n\tTYPE_INT8\x10\x06\x12\x0e\n\nT"
    b"YPE_INT16\x10\x07\x12\x0e\n\nTYPE_INT32\x10\x08\x12\x0e\n\nTYPE_INT64\x10\t\x12\r\n\tT"
    b"YPE_FP16\x10\n\x12\r\n\tTYPE_FP32\x10\x0b\x12\r\n\tTYPE_FP64\x10\x0c\x12\x0f\n\x0bTYPE"
    b"_STRING\x10\r\x12\r\n\tTYPE_BF16\x10\x0e2\xb7\x08\n\x14GRPCInferenceServic"
    b"e\x12K\n\nServerLive\x12\x1c.inference.ServerLiveRequest\x1a\x1d."
    b'inference.ServerLiveResponse"\x00\x12N\n\x0bServerReady\x12\x1d.'
    b"inference.ServerReadyRequest\x1a\x1e.inference.ServerR"
    b'eadyResponse"\x00\x12K\n\nModelReady\x12\x1c.inference.ModelRe'
    b'adyRequest\x1a\x1d.inference.ModelReadyResponse"\x00\x12W\n\x0eS'
    b"erverMetadata\x12 .inference.ServerMetadataRequest\x1a"
    b'!.inference.ServerMetadataResponse"\x00\x12T\n\rModelMet'
    b"adata\x12\x1f.inference.ModelMetadataRequest\x1a .inferen"
    b'ce.ModelMetadataResponse"\x00\x12K\n\nModelInfer\x12\x1c.infer'
    b"ence.ModelInferRequest\x1a\x1d.inference.ModelInferRes"
    b'ponse"\x00\x12[\n\x10ModelStreamInfer\x12\x1c.inference.ModelInf'
    b'erRequest\x1a#.inference.ModelStreamInferResponse"\x00'
    b"(\x010\x01\x12N\n\x0bModelConfig\x12\x1d.inference.ModelConfigReque"
    b'st\x1a\x1e.inference.ModelConfigResponse"\x00\x12Z\n\x0fModelSta'
    b'tistics\x12!.inference.ModelStatisticsRequest\x1a".inf'
    b'erence.ModelStatisticsResponse"\x00\x12Z\n\x0fRepositoryIn'
    b'dex\x12!.inference.RepositoryIndexRequest\x1a".inferen'
    b'ce.RepositoryIndexResponse"\x00\x12f\n\x13RepositoryModelL'
    b"oad\x12%.inference.RepositoryModelLoadRequest\x1a&.inf"
    b'erence.RepositoryModelLoadResponse"\x00\x12l\n\x15Reposito'
    b"ryModelUnload\x12'.inference.RepositoryModelUnloadR"
    b"equest\x1a(.inference.RepositoryModelUnloadResponse"
    b'"\x00b\x06proto3\n\xe4\x01\n\x19google/protobuf/any.proto\x12\x0fgoogle'
    b'.protobuf"6\n\x03Any\x12\x19\n\x08type_url\x18\x01 \x01(\tR\x07typeUrl\x12\x14\n\x05v'
    b"alue\x18\x02 \x01(\x0cR\x05valueBv\n\x13com.google.protobufB\x08AnyPro"
    b"toP\x01Z,google.golang.org/protobuf/types/known/any"
    b"pb\xa2\x02\x03GPB\xaa\x02\x1eGoogle.Protobuf.WellKnownTypesb\x06proto"
    b"3\n\xbe\x01\n\x1bgoogle/protobuf/empty.proto\x12\x0fgoogle.protob"
    b'uf"\x07\n\x05EmptyB}\n\x13com.google.protobufB\nEmptyProtoP\x01'
    b"Z.google.golang.org/protobuf/types/known/emptypb"
    b"\xf8\x01\x01\xa2\x02\x03GPB\xaa\x02\x1eGoogle.Protobuf.WellKnownTypesb\x06prot"
    b"o3\n\xf7\t\n\x0finference.proto\x12 org.pytorch.serve.grpc.i"
    b"nference\x1a\x19google/protobuf/any.proto\x1a\x1bgoogle/prot"
    b'obuf/empty.proto"\x9f\x02\n\x12PredictionsRequest\x12\x1d\n\nmodel'
    b"_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cm"
    b"odelVersion\x12U\n\x05input\x18\x03 \x03(\x0b2?.org.pytorch.serve.g"
    b"rpc.inference.PredictionsRequest.InputEntryR\x05inp"
    b"ut\x12$\n\x0bsequence_id\x18\x04 \x01(\tH\x00R\nsequenceId\x88\x01\x01\x1a8\n\nInpu"
    b"tEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05value:\x02"
    b'8\x01B\x0e\n\x0c_sequence_id"\xbc\x01\n\x12PredictionResponse\x12\x1e\n\npre'
    b"diction\x18\x01 \x01(\x0cR\nprediction\x12$\n\x0bsequence_id\x18\x02 \x01(\tH\x00"
    b"R\nsequenceId\x88\x01\x01\x12E\n\x06status\x18\x03 \x01(\x0b2(.org.pytorch.se"
    b"rve.grpc.inference.StatusH\x01R\x06status\x88\x01\x01B\x0e\n\x0c_seque"
    b'nce_idB\t\n\x07_status"2\n\x18TorchServeHealthResponse\x12\x16\n'
    b'\x06health\x18\x01 \x01(\tR\x06health"f\n\x06Status\x12\x12\n\x04code\x18\x01 \x01(\x05R\x04c'
    b"ode\x12\x18\n\x07message\x18\x02 \x01(\tR\x07message\x12.\n\x07details\x18\x03 \x03(\x0b2\x14"
    b".google.protobuf.AnyR\x07details2\x80\x04\n\x14InferenceAPIsS"
    b"ervice\x12\\\n\x04Ping\x12\x16.google.protobuf.Empty\x1a:.org.pyt"
    b"orch.serve.grpc.inference.TorchServeHealthRespon"
    b'se"\x00\x12{\n\x0bPredictions\x124.org.pytorch.serve.grpc.inf'
    b"erence.PredictionsRequest\x1a4.org.pytorch.serve.gr"
    b'pc.inference.PredictionResponse"\x00\x12\x83\x01\n\x11StreamPred'
    b"ictions\x124.org.pytorch.serve.grpc.inference.Predi"
    b"ctionsRequest\x1a4.org.pytorch.serve.grpc.inference"
    b'.PredictionResponse"\x000\x01\x12\x86\x01\n\x12StreamPredictions2\x124'
    b".org.pytorch.serve.grpc.inference.PredictionsReq"
    b"uest\x1a4.org.pytorch.serve.grpc.inference.Predicti"
    b'onResponse"\x00(\x010\x01B\x02P\x01b\x06proto3\n\x88\x0f\n\x10management.prot'
    b'o\x12!org.pytorch.serve.grpc.management"&\n\x12Manageme'
    b'ntResponse\x12\x10\n\x03msg\x18\x01 \x01(\tR\x03msg"z\n\x14DescribeModelReq'
    b"uest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmodel_ver"
    b"sion\x18\x02 \x01(\tR\x0cmodelVersion\x12\x1e\n\ncustomized\x18\x03 \x01(\x08R\ncu"
    b'stomized"Q\n\x11ListModelsRequest\x12\x14\n\x05limit\x18\x01 \x01(\x05R\x05li'
    b'mit\x12&\n\x0fnext_page_token\x18\x02 \x01(\x05R\rnextPageToken"\xff\x02\n\x14'
    b"RegisterModelRequest\x12\x1d\n\nbatch_size\x18\x01 \x01(\x05R\tbatchS"
    b"ize\x12\x18\n\x07handler\x18\x02 \x01(\tR\x07handler\x12'\n\x0finitial_workers"
    b"\x18\x03 \x01(\x05R\x0einitialWorkers\x12&\n\x0fmax_batch_delay\x18\x04 \x01(\x05R"
    b"\rmaxBatchDelay\x12\x1d\n\nmodel_name\x18\x05 \x01(\tR\tmodelName\x12)\n"
    b"\x10response_timeout\x18\x06 \x01(\x05R\x0fresponseTimeout\x12\x18\n\x07runt"
    b"ime\x18\x07 \x01(\tR\x07runtime\x12 \n\x0bsynchronous\x18\x08 \x01(\x08R\x0bsynchro"
    b"nous\x12\x10\n\x03url\x18\t \x01(\tR\x03url\x12\x1c\n\ns3_sse_kms\x18\n \x01(\x08R\x08s3Ss"
    b"eKms\x12'\n\x0fstartup_timeout\x18\x0b \x01(\x05R\x0estartupTimeout\"\xf1\x01"
    b"\n\x12ScaleWorkerRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelN"
    b"ame\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVersion\x12\x1d\n\nmax_"
    b"worker\x18\x03 \x01(\x05R\tmaxWorker\x12\x1d\n\nmin_worker\x18\x04 \x01(\x05R\tmin"
    b"Worker\x12\x1d\n\nnumber_gpu\x18\x05 \x01(\x05R\tnumberGpu\x12 \n\x0bsynchro"
    b"nous\x18\x06 \x01(\x08R\x0bsynchronous\x12\x18\n\x07timeout\x18\x07 \x01(\x05R\x07timeou"
    b't"W\n\x11SetDefaultRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmode'
    b'lName\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVersion"\\\n\x16Un'
    b"registerModelRequest\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelN"
    b"ame\x12#\n\rmodel_version\x18\x02 \x01(\tR\x0cmodelVersion2\xa0\x06\n\x15Man"
    b"agementAPIsService\x12\x81\x01\n\rDescribeModel\x127.org.pytor"
    b"ch.serve.grpc.management.DescribeModelRequest\x1a5."
    b"org.pytorch.serve.grpc.management.ManagementResp"
    b'onse"\x00\x12{\n\nListModels\x124.org.pytorch.serve.grpc.ma'
    b"nagement.ListModelsRequest\x1a5.org.pytorch.serve.g"
    b'rpc.management.ManagementResponse"\x00\x12\x81\x01\n\rRegister'
    b"Model\x127.org.pytorch.serve.grpc.management.Regist"
    b"erModelRequest\x1a5.org.pytorch.serve.grpc.manageme"
    b'nt.ManagementResponse"\x00\x12}\n\x0bScaleWorker\x125.org.pyt'
    b"orch.serve.grpc.management.ScaleWorkerRequest\x1a5."
    b"org.pytorch.serve.grpc.management.ManagementResp"
    b'onse"\x00\x12{\n\nSetDefault\x124.org.pytorch.serve.grpc.ma'
    b"nagement.SetDefaultRequest\x1a5.org.pytorch.serve.g"
    b'rpc.management.ManagementResponse"\x00\x12\x85\x01\n\x0fUnregist'
    b"erModel\x129.org.pytorch.serve.grpc.management.Unre"
    b"gisterModelRequest\x1a5.org.pytorch.serve.grpc.mana"
    b'gement.ManagementResponse"\x00B\x02P\x01b\x06proto3\n\x8e#\n\x19open'
    b"_inference_grpc.proto\x12$org.pytorch.serve.grpc.op"
    b'eninference"\x13\n\x11ServerLiveRequest"(\n\x12ServerLiveRe'
    b'sponse\x12\x12\n\x04live\x18\x01 \x01(\x08R\x04live"\x14\n\x12ServerReadyRequest'
    b'"+\n\x13ServerReadyResponse\x12\x14\n\x05ready\x18\x01 \x01(\x08R\x05ready"A\n'
    b"\x11ModelReadyRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07versio"
    b'n\x18\x02 \x01(\tR\x07version"*\n\x12ModelReadyResponse\x12\x14\n\x05ready\x18'
    b'\x01 \x01(\x08R\x05ready"\x17\n\x15ServerMetadataRequest"f\n\x16ServerM'
    b"etadataResponse\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07version\x18\x02"
    b' \x01(\tR\x07version\x12\x1e\n\nextensions\x18\x03 \x03(\tR\nextensions"D\n'
    b"\x14ModelMetadataRequest\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x18\n\x07ver"
    b'sion\x18\x02 \x01(\tR\x07version"\x85\x03\n\x15ModelMetadataResponse\x12\x12\n'
    b"\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08versions\x18\x02 \x03(\tR\x08versions\x12\x1a\n"
    b"\x08platform\x18\x03 \x01(\tR\x08platform\x12b\n\x06inputs\x18\x04 \x03(\x0b2J.org."
    b"pytorch.serve.grpc.openinference.ModelMetadataRe"
    b"sponse.TensorMetadataR\x06inputs\x12d\n\x07outputs\x18\x05 \x03(\x0b2J"
    b".org.pytorch.serve.grpc.openinference.ModelMetad"
    b"ataResponse.TensorMetadataR\x07outputs\x1aV\n\x0eTensorMet"
    b"adata\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08dat"
    b'atype\x12\x14\n\x05shape\x18\x03 \x03(\x03R\x05shape"\x91\n\n\x11ModelInferReques'
    b"t\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmodel_versio"
    b"n\x18\x02 \x01(\tR\x0cmodelVersion\x12\x0e\n\x02id\x18\x03 \x01(\tR\x02id\x12g\n\nparamet"
    b"ers\x18\x04 \x03(\x0b2G.org.pytorch.serve.grpc.openinference"
    b".ModelInferRequest.ParametersEntryR\nparameters\x12`"
    b"\n\x06inputs\x18\x05 \x03(\x0b2H.org.pytorch.serve.grpc.openinfe"
    b"rence.ModelInferRequest.InferInputTensorR\x06inputs"
    b"\x12l\n\x07outputs\x18\x06 \x03(\x0b2R.org.pytorch.serve.grpc.openi"
    b"nference.ModelInferRequest.InferRequestedOutputT"
    b"ensorR\x07outputs\x12,\n\x12raw_input_contents\x18\x07 \x03(\x0cR\x10rawI"
    b"nputContents\x1a\x9e\x03\n\x10InferInputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR"
    b"\x04name\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05shape\x18\x03 \x03(\x03"
    b"R\x05shape\x12x\n\nparameters\x18\x04 \x03(\x0b2X.org.pytorch.serve."
    b"grpc.openinference.ModelInferRequest.InferInputT"
    b"ensor.ParametersEntryR\nparameters\x12U\n\x08contents\x18\x05 "
    b"\x01(\x0b29.org.pytorch.serve.grpc.openinference.Infer"
    b"TensorContentsR\x08contents\x1as\n\x0fParametersEntry\x12\x10\n\x03k"
    b"ey\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02 \x01(\x0b24.org.pytorch.serve"
    b".grpc.openinference.InferParameterR\x05value:\x028\x01\x1a\xaa\x02"
    b"\n\x1aInferRequestedOutputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name"
    b"\x12\x82\x01\n\nparameters\x18\x02 \x03(\x0b2b.org.pytorch.serve.grpc.o"
    b"peninference.ModelInferRequest.InferRequestedOut"
    b"putTensor.ParametersEntryR\nparameters\x1as\n\x0fParamet"
    b"ersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02 \x01(\x0b24.org."
    b"pytorch.serve.grpc.openinference.InferParameterR"
    b"\x05value:\x028\x01\x1as\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12"
    b"J\n\x05value\x18\x02 \x01(\x0b24.org.pytorch.serve.grpc.openinfe"
    b'rence.InferParameterR\x05value:\x028\x01"\x81\x07\n\x12ModelInferRe'
    b"sponse\x12\x1d\n\nmodel_name\x18\x01 \x01(\tR\tmodelName\x12#\n\rmodel_v"
    b"ersion\x18\x02 \x01(\tR\x0cmodelVersion\x12\x0e\n\x02id\x18\x03 \x01(\tR\x02id\x12h\n\npa"
    b"rameters\x18\x04 \x03(\x0b2H.org.pytorch.serve.grpc.openinfe"
    b"rence.ModelInferResponse.ParametersEntryR\nparame"
    b"ters\x12d\n\x07outputs\x18\x05 \x03(\x0b2J.org.pytorch.serve.grpc.o"
    b"peninference.ModelInferResponse.InferOutputTenso"
    b"rR\x07outputs\x12.\n\x13raw_output_contents\x18\x06 \x03(\x0cR\x11rawOutp"
    b"utContents\x1a\xa1\x03\n\x11InferOutputTensor\x12\x12\n\x04name\x18\x01 \x01(\tR\x04"
    b"name\x12\x1a\n\x08datatype\x18\x02 \x01(\tR\x08datatype\x12\x14\n\x05shape\x18\x03 \x03(\x03R"
    b"\x05shape\x12z\n\nparameters\x18\x04 \x03(\x0b2Z.org.pytorch.serve.g"
    b"rpc.openinference.ModelInferResponse.InferOutput"
    b"Tensor.ParametersEntryR\nparameters\x12U\n\x08contents\x18\x05"
    b" \x01(\x0b29.org.pytorch.serve.grpc.openinference.Infe"
    b"rTensorContentsR\x08contents\x1as\n\x0fParametersEntry\x12\x10\n\x03"
    b"key\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02 \x01(\x0b24.org.pytorch.serv"
    b"e.grpc.openinference.InferParameterR\x05value:\x028\x01\x1as"
    b"\n\x0fParametersEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12J\n\x05value\x18\x02 \x01"
    b"(\x0b24.org.pytorch.serve.grpc.openinference.InferP"
    b'arameterR\x05value:\x028\x01"\xd7\x01\n\x0eInferParameter\x12\x1f\n\nbool_p'
    b"aram\x18\x01 \x01(\x08H\x00R\tboolParam\x12!\n\x0bint64_param\x18\x02 \x01(\x03H\x00R\n"
    b"int64Param\x12#\n\x0cstring_param\x18\x03 \x01(\tH\x00R\x0bstringParam\x12"
    b"#\n\x0cdouble_param\x18\x04 \x01(\x01H\x00R\x0bdoubleParam\x12#\n\x0cuint64_p"
    b'aram\x18\x05 \x01(\x04H\x00R\x0buint64ParamB\x12\n\x10parameter_choice"\xc3\x02'
    b"\n\x13InferTensorContents\x12#\n\rbool_contents\x18\x01 \x03(\x08R\x0cbo"
    b"olContents\x12!\n\x0cint_contents\x18\x02 \x03(\x05R\x0bintContents\x12%\n"
    b"\x0eint64_contents\x18\x03 \x03(\x03R\rint64Contents\x12#\n\ruint_con"
    b"tents\x18\x04 \x03(\rR\x0cuintContents\x12'\n\x0fuint64_contents\x18\x05 \x03"
    b"(\x04R\x0euint64Contents\x12#\n\rfp32_contents\x18\x06 \x03(\x02R\x0cfp32C"
    b"ontents\x12#\n\rfp64_contents\x18\x07 \x03(\x01R\x0cfp64Contents\x12%\n\x0e"
    b"bytes_contents\x18\x08 \x03(\x0cR\rbytesContents2\xc6\x06\n\x14GRPCInfe"
    b"renceService\x12\x81\x01\n\nServerLive\x127.org.pytorch.serve."
    b"grpc.openinference.ServerLiveRequest\x1a8.org.pytor"
    b'ch.serve.grpc.openinference.ServerLiveResponse"\x00'
    b"\x12\x84\x01\n\x0bServerReady\x128.org.pytorch.serve.grpc.openin"
    b"ference.ServerReadyRequest\x1a9.org.pytorch.serve.g"
    b'rpc.openinference.ServerReadyResponse"\x00\x12\x81\x01\n\nMode'
    b"lReady\x127.org.pytorch.serve.grpc.openinference.Mo"
    b"delReadyRequest\x1a8.org.pytorch.serve.grpc.openinf"
    b'erence.ModelReadyResponse"\x00\x12\x8d\x01\n\x0eServerMetadata\x12;'
    b".org.pytorch.serve.grpc.openinference.ServerMeta"
    b"dataRequest\x1a<.org.pytorch.serve.grpc.openinferen"
    b'ce.ServerMetadataResponse"\x00\x12\x8a\x01\n\rModelMetadata\x12:.'
    b"org.pytorch.serve.grpc.openinference.ModelMetada"
    b"taRequest\x1a;.org.pytorch.serve.grpc.openinference"
    b'.ModelMetadataResponse"\x00\x12\x81\x01\n\nModelInfer\x127.org.py'
    b"torch.serve.grpc.openinference.ModelInferRequest"
    b"\x1a8.org.pytorch.serve.grpc.openinference.ModelInf"
    b'erResponse"\x00B\x02P\x01b\x06proto3\n\xe5\x11\n\x0eworkflow.proto\x12\x1forg'
    b".pytorch.serve.grpc.workflow\x1a\x0finference.proto\x1a\x10m"
    b'anagement.proto"\xf9\x01\n\x17RegisterWorkflowRequest\x12\x10\n\x03u'
    b"rl\x18\x01 \x01(\tR\x03url\x12#\n\rworkflow_name\x18\x02 \x01(\tR\x0cworkflowNa"
    b"me\x12)\n\x10response_timeout\x18\x03 \x01(\x05R\x0fresponseTimeout\x12'\n"
    b"\x0fstartup_timeout\x18\x04 \x01(\x05R\x0estartupTimeout\x12\x1c\n\ns3_sse"
    b"_kms\x18\x05 \x01(\x08R\x08s3SseKms\x12%\n\x0bsynchronous\x18\x06 \x01(\x08H\x00R\x0bsyn"
    b'chronous\x88\x01\x01B\x0e\n\x0c_synchronous"@\n\x19UnregisterWorkflo'
    b'wRequest\x12#\n\rworkflow_name\x18\x01 \x01(\tR\x0cworkflowName">\n'
    b"\x17DescribeWorkflowRequest\x12#\n\rworkflow_name\x18\x01 \x01(\tR"
    b'\x0cworkflowName"T\n\x14ListWorkflowsRequest\x12\x14\n\x05limit\x18\x01'
    b" \x01(\x05R\x05limit\x12&\n\x0fnext_page_token\x18\x02 \x01(\x05R\rnextPageTo"
    b'ken"\xe7\x01\n\x16WorkflowPredictRequest\x12#\n\rworkflow_name\x18'
    b"\x01 \x01(\tR\x0cworkflowName\x12X\n\x05input\x18\x02 \x03(\x0b2B.org.pytorch"
    b".serve.grpc.workflow.WorkflowPredictRequest.Inpu"
    b"tEntryR\x05input\x12\x14\n\x05nodes\x18\x03 \x03(\tR\x05nodes\x1a8\n\nInputEntr"
    b'y\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05value:\x028\x01"\xf7\x02'
    b"\n\x17WorkflowPredictResponse\x12_\n\x07outputs\x18\x01 \x03(\x0b2E.org"
    b".pytorch.serve.grpc.workflow.WorkflowPredictResp"
    b"onse.OutputsEntryR\x07outputs\x12Y\n\x05trace\x18\x02 \x03(\x0b2C.org."
    b"pytorch.serve.grpc.workflow.WorkflowPredictRespo"
    b"nse.TraceEntryR\x05trace\x1a:\n\x0cOutputsEntry\x12\x10\n\x03key\x18\x01 \x01"
    b"(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\x0cR\x05value:\x028\x01\x1ad\n\nTraceEntry\x12"
    b"\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12@\n\x05value\x18\x02 \x01(\x0b2*.org.pytorch.s"
    b'erve.grpc.workflow.NodeTraceR\x05value:\x028\x01"Y\n\tNodeT'
    b"race\x12\x1a\n\x08attempts\x18\x01 \x01(\x05R\x08attempts\x12\x19\n\x08queue_us\x18\x02 \x01"
    b'(\x03R\x07queueUs\x12\x15\n\x06run_us\x18\x03 \x01(\x03R\x05runUs"\x9c\x01\n\x0cWorkflowP'
    b"art\x12\x12\n\x04node\x18\x01 \x01(\tR\x04node\x12\x12\n\x04data\x18\x02 \x01(\x0cR\x04data\x12\x12\n\x04l"
    b"ast\x18\x03 \x01(\x08R\x04last\x12E\n\x06status\x18\x04 \x01(\x0b2(.org.pytorch.se"
    b"rve.grpc.inference.StatusH\x00R\x06status\x88\x01\x01B\t\n\x07_statu"
    b"s2\xb2\x04\n\x13WorkflowAPIsService\x12\x85\x01\n\x10RegisterWorkflow\x128"
    b".org.pytorch.serve.grpc.workflow.RegisterWorkflo"
    b"wRequest\x1a5.org.pytorch.serve.grpc.management.Man"
    b'agementResponse"\x00\x12\x89\x01\n\x12UnregisterWorkflow\x12:.org.p'
    b"ytorch.serve.grpc.workflow.UnregisterWorkflowReq"
    b"uest\x1a5.org.pytorch.serve.grpc.management.Managem"
    b'entResponse"\x00\x12\x85\x01\n\x10DescribeWorkflow\x128.org.pytorch'
    b".serve.grpc.workflow.DescribeWorkflowRequest\x1a5.o"
    b"rg.pytorch.serve.grpc.management.ManagementRespo"
    b'nse"\x00\x12\x7f\n\rListWorkflows\x125.org.pytorch.serve.grpc.'
    b"workflow.ListWorkflowsRequest\x1a5.org.pytorch.serv"
    b'e.grpc.management.ManagementResponse"\x002\x9b\x02\n\x1cWorkf'
    b"lowInferenceAPIsService\x12~\n\x07Predict\x127.org.pytorch"
    b".serve.grpc.workflow.WorkflowPredictRequest\x1a8.or"
    b"g.pytorch.serve.grpc.workflow.WorkflowPredictRes"
    b'ponse"\x00\x12{\n\rStreamPredict\x127.org.pytorch.serve.grp'
    b"c.workflow.WorkflowPredictRequest\x1a-.org.pytorch."
    b'serve.grpc.workflow.WorkflowPart"\x000\x01B\x02P\x01b\x06proto3'
)
