"""`BaseHandler`: loads the model of an archive and answers batches with preprocess, inference, postprocess.

Users import and patch it as `ts.torch_handler.base_handler`, so everything a test may replace (the module flags,
`torch`, `setup_ort_session`) is looked up in this module at call time, and its `logger`, which users' handlers import,
keeps TorchServe's name.

Invariant: this module defines exactly one class, or archives that name ``base_handler`` stop loading.
"""

from __future__ import annotations

import abc
import functools
import importlib.util
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from packaging import version

from stoker.handlers import _torchvision, compiling, exported, weights
from stoker.handlers.model_file import model_class
from stoker.handlers.timer import timed
from stoker.handlers.util import check_valid_pt2_backend, load_label_mapping

if TYPE_CHECKING:
    from stoker.worker.context import Context

logger = logging.getLogger(__name__)

_TORCH = version.parse(torch.__version__)
PT2_AVAILABLE = version.parse("2.0a0") <= _TORCH
PT230_AVAILABLE = version.parse("2.3a0") <= _TORCH
PROFILER_AVAILABLE = hasattr(torch, "profiler")
ONNX_AVAILABLE = importlib.util.find_spec("onnxruntime") is not None
XLA_AVAILABLE = importlib.util.find_spec("torch_xla") is not None
IPEX_AVAILABLE = (
    os.environ.get("TS_IPEX_ENABLE", "false").lower() == "true"
    and importlib.util.find_spec("intel_extension_for_pytorch") is not None
)


def setup_ort_session(model_pt_path: str, map_location: Any) -> Any:
    """Makes an onnxruntime session for a ``.onnx`` file, with as many threads as torch would use."""
    import onnxruntime  # noqa: PLC0415 - an optional package

    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = [cuda, cpu] if str(map_location).startswith("cuda") else [cpu]
    return onnxruntime.InferenceSession(model_pt_path, sess_options=options, providers=providers)


class BaseHandler(abc.ABC):
    """Default handler: numbers in, numbers out. Override the steps that differ."""

    model: Any
    device: Any
    manifest: Any
    model_yaml_config: dict[str, Any]
    _has_onnx_session = False

    def __init__(self) -> None:
        self.model = None
        self.mapping: dict[str, str] | None = None
        self.device = None
        self.initialized = False
        self.context: Any = None
        self.model_pt_path: str | None = None
        self.manifest = None
        self.map_location: str | None = None
        self.explain = False
        self.target = 0
        self.profiler_args: dict[str, Any] = {}

    # ------------------------------------------------------------------------------------------- loading

    def initialize(self, context: Context) -> None:
        """Chooses the device, loads the model and the label file. Called once, before any request."""
        self.context = context
        self.model_yaml_config = getattr(context, "model_yaml_config", None) or {}
        self.manifest = context.manifest
        properties = context.system_properties
        self._choose_device(properties.get("gpu_id"))
        model_dir = properties.get("model_dir", "")
        self._load_model(model_dir)
        self._optimize_model()
        logger.debug("Model file %s loaded successfully", self.model_pt_path)
        self.mapping = load_label_mapping(Path(model_dir, "index_to_name.json"))
        self.initialized = True

    def _choose_device(self, gpu_id: int | None) -> None:
        self.map_location, device = "cpu", "cpu"
        if gpu_id is not None and torch.cuda.is_available():
            self.map_location, device = "cuda", f"cuda:{gpu_id}"
        elif os.environ.get("TS_IPEX_GPU_ENABLE", "false").lower() == "true" and torch.xpu.is_available():
            self.map_location, device = "xpu", f"xpu:{gpu_id or 0}"
        elif gpu_id is not None and torch.backends.mps.is_available():
            self.map_location, device = "mps", "mps"
        elif XLA_AVAILABLE:
            self.device = _xla_device()
            return
        self.device = torch.device(device)

    def _load_model(self, model_dir: str) -> None:
        entry = (self.manifest or {}).get("model", {})
        serialized, model_file = entry.get("serializedFile"), entry.get("modelFile")
        self.model_pt_path = str(Path(model_dir, serialized)) if serialized else None
        if self.model_pt_path and not Path(self.model_pt_path).exists():
            raise RuntimeError(f"Missing the {serialized} file")
        if model_file:
            logger.debug("Loading eager model")
            self.model = self._load_pickled_model(model_dir, model_file, self.model_pt_path)
            self.model.to(self.device)
            self.model.eval()
        else:
            self.model = self._load_serialized(self.model_pt_path or "")

    def _load_serialized(self, path: str) -> Any:
        if path.endswith(".so") and self._use_torch_export_aot_compile():
            model = self._load_torch_export_aot_compile(path)
            logger.warning("torch._export is an experimental feature! Succesfully loaded torch exported model.")
            return model
        if path.endswith(".pt"):
            model = self._load_torchscript_model(path)
            model.eval()
            return model
        if path.endswith(".onnx") and ONNX_AVAILABLE:
            session = setup_ort_session(path, self.map_location)
            self._has_onnx_session = True
            logger.info("Succesfully setup ort session")
            return session
        if path.endswith(".pt2"):
            return self._load_torch_inductor_package(path)
        raise RuntimeError(f"No model weights could be loaded: {weights.reason_not_loaded(Path(path).name)}")

    def _load_torchscript_model(self, model_pt_path: str) -> Any:
        """Loads a ``.pt`` file made by `torch.jit.save`. Operators of TensorRT are known where torch_tensorrt is
        installed."""
        compiling.import_if_present("torch_tensorrt")
        try:
            return torch.jit.load(model_pt_path, map_location=self.device)  # type: ignore[no-untyped-call]  # torch has no types here
        except RuntimeError as error:
            if "constants.pkl" not in str(error):
                raise
            raise RuntimeError(weights.no_program(Path(model_pt_path).name)) from error

    def _load_pickled_model(self, model_dir: str, model_file: str, model_pt_path: str | None) -> Any:
        """Makes the model that ``model_file`` defines, with the weights of ``model_pt_path`` if there are any."""
        model = _torchvision.declaring_operators(lambda: model_class(model_dir, model_file))()
        if model_pt_path:
            weights.load_into(model, model_pt_path, self.map_location)
        return model

    def _load_torch_export_aot_compile(self, model_so_path: str) -> Any:
        """Loads a ``.so`` file made by ahead-of-time compilation."""
        return torch._export.aot_load(model_so_path, str(self.device))

    def _load_torch_inductor_package(self, model_pt2_path: str) -> Any:
        """Loads a ``.pt2`` file of `torch._inductor.aoti_compile_and_package` or `torch.export.save`."""
        return exported.load(model_pt2_path, self.device)

    def _use_torch_export_aot_compile(self) -> bool:
        section = self.model_yaml_config.get("pt2")
        export = section.get("export") if isinstance(section, dict) else None
        return PT230_AVAILABLE and isinstance(export, dict) and bool(export.get("aot_compile"))

    def _optimize_model(self) -> None:
        """Applies torch.compile or IPEX, if configured. A failure costs speed, never the model."""
        options = compiling.options_of(self.model_yaml_config.get("pt2"))
        if PT2_AVAILABLE and options is not None and check_valid_pt2_backend(options.get("backend", "inductor")):
            if obstacle := compiling.obstacle(options, self.device):
                logger.warning("pt2: %s. The model runs uncompiled.", obstacle)
                return
            wanted = ", ".join(f"{name} {value}" for name, value in options.items())
            optimize = functools.partial(compiling.compiled, self.model, options)
        elif IPEX_AVAILABLE:
            wanted = "ipex"
            optimize = functools.partial(_optimize_with_ipex, self.model, self.device)
        else:
            return
        try:
            self.model = optimize()
            logger.info("Compiled model with %s", wanted)
        except Exception as error:
            logger.warning("Compiling model model with %s has failed \n Proceeding without compilation", wanted)
            logger.warning("%s", error, exc_info=True)

    # ------------------------------------------------------------------------------------------- serving

    @timed
    def preprocess(self, data: Any) -> Any:
        """Rows of numbers to one tensor on the device."""
        return torch.as_tensor(data, device=self.device)

    @timed
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls the model without recording gradients. An ONNX session gets ``data`` as its first input and gives its
        first output."""
        if self._has_onnx_session:
            return torch.as_tensor(self.model.run(None, {self.model.get_inputs()[0].name: data.cpu().numpy()})[0])
        with torch.inference_mode():
            return self.model(data.to(self.device), *args, **kwargs)

    @timed
    def postprocess(self, data: Any) -> Any:
        """Makes one list entry per request."""
        return data.tolist()

    def handle(self, data: Any, context: Context) -> Any:
        """Answers a batch: one entry per row of ``data``. Emits HandlerTime."""
        started = time.perf_counter()
        self.context = context
        if self._is_describe():
            output = [self.describe_handle()]
        elif os.environ.get("ENABLE_TORCH_PROFILER"):
            output = self._handle_profiled(data)
        else:
            output = self._run_steps(data)
        if context.metrics is not None:
            context.metrics.add_time("HandlerTime", round((time.perf_counter() - started) * 1000, 2), None, "ms")
        return output

    def _run_steps(self, data: Any) -> Any:
        prepared = self.preprocess(data)
        if self._is_explain():
            return self.explain_handle(prepared, data)
        return self.postprocess(self.inference(prepared))

    def _handle_profiled(self, data: Any) -> Any:
        if not PROFILER_AVAILABLE:
            raise RuntimeError("ENABLE_TORCH_PROFILER is set, but this version of torch has no profiler")
        output, _ = self._infer_with_profiler(data=data)
        return output

    def _infer_with_profiler(self, data: Any) -> tuple[Any, Any]:
        """Runs the steps under `torch.profiler`; `profiler_args` override what is recorded and where it goes."""
        if self.manifest is None and self.context is not None:
            self.manifest = self.context.manifest
        if "on_trace_ready" not in self.profiler_args:
            logger.info("Saving chrome trace to : %s", self._trace_folder())
        arguments = {**self._default_profiler_args(), **self.profiler_args}
        with torch.profiler.profile(**arguments) as profile:
            output = self._run_steps(data)
        logger.info("%s", profile.key_averages().table(sort_by="cpu_time_total", row_limit=10))
        return output, profile

    def _default_profiler_args(self) -> dict[str, Any]:
        activity = torch.profiler.ProfilerActivity
        return {
            "activities": [activity.CPU, activity.CUDA] if torch.cuda.is_available() else [activity.CPU],
            "record_shapes": True,
            "on_trace_ready": torch.profiler.tensorboard_trace_handler(str(self._trace_folder())),
        }

    def _trace_folder(self) -> Path:
        name = str((self.manifest or {}).get("model", {}).get("modelName", ""))
        return Path(tempfile.gettempdir(), "pytorch_profiler", Path(name).name)

    # -------------------------------------------------------------------------------- explain and describe

    def explain_handle(self, data_preprocess: Any, raw_data: Any) -> Any:
        """Returns attributions for the class that the first row names as ``target`` (0 without one)."""
        logger.info("Calculating Explanations")
        inputs, target = None, 0
        row = raw_data[0] if raw_data else None
        if isinstance(row, dict):
            logger.info("Getting data and target")
            inputs = row.get("data") or row.get("body")
            target = row.get("target") or 0
        return self.get_insights(data_preprocess, inputs, target)

    def get_insights(self, tensor_data: Any, raw_data: Any, target: Any) -> Any:
        """Answers explanation requests. To be overridden."""
        raise NotImplementedError(f"{type(self).__name__} cannot explain its predictions")

    def describe_handle(self) -> Any:
        """Answers `DescribeModel` calls that ask the handler. To be overridden."""
        return None

    def _is_explain(self) -> bool:
        if self._header_is_true("explain"):
            self.explain = True
            return True
        return False

    def _is_describe(self) -> bool:
        return self._header_is_true("describe")

    def _header_is_true(self, name: str) -> bool:
        return bool(self.context) and self.context.get_request_header(0, name) == "True"

    def get_device(self) -> Any:
        return self.device


def _xla_device() -> Any:
    return importlib.import_module("torch_xla.core.xla_model").xla_device()


def _optimize_with_ipex(model: Any, device: Any) -> Any:
    import intel_extension_for_pytorch as ipex  # noqa: PLC0415 - an optional package

    return ipex.optimize(model.to(memory_format=torch.channels_last).to(device))
