"""Services that `benchmarks.service_load` compares with `digits-edge serve`; uvicorn runs them.

- `floor`: Starlette reads the request and returns a constant of the size of a response; no service on the same stack
  can be faster.
- `fastapi_json`: FastAPI as its tutorial has it: pixels as lists in JSON, a function that runs the session, JSON back.
- `fastapi_bytes`: the same with the pixels as the body.

The environment variable MODEL has the path of the model file.
"""

import os

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CLASSES = 10


async def constant(request: Request) -> Response:
    """Read a request and return zeros."""
    await request.body()
    return Response(bytes(4 * CLASSES), media_type="application/octet-stream")


def floor() -> Starlette:
    """The application that computes nothing."""
    return Starlette(routes=[Route("/predict", constant, methods=["POST"])])


def fastapi_json():
    """The application with JSON."""
    import onnxruntime
    from fastapi import FastAPI
    from pydantic import BaseModel

    app = FastAPI()
    session = onnxruntime.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])

    class Images(BaseModel):
        images: list[list[list[int]]]

    @app.post("/predict")
    def predict(body: Images) -> dict[str, list[list[float]]]:
        [probabilities] = session.run(None, {"image": np.array(body.images, np.uint8)})
        return {"probabilities": probabilities.tolist()}

    return app


def fastapi_bytes():
    """The application with a binary body."""
    import onnxruntime
    from fastapi import FastAPI
    from fastapi import Request as FastAPIRequest

    app = FastAPI()
    session = onnxruntime.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])

    @app.post("/predict")
    async def predict(request: FastAPIRequest) -> dict[str, list[list[float]]]:
        images = np.frombuffer(await request.body(), np.uint8).reshape(-1, 28, 28)
        [probabilities] = session.run(None, {"image": images})
        return {"probabilities": probabilities.tolist()}

    return app
