"""octet: inference of residual image classifiers on CPUs.

    import octet

    model = octet.Model("flowers.octet")
    session = model.session(threads=4)
    session.classify("photo.jpg", top=3)        # [Prediction(index=4, label='tulips', probability=0.99), ...]
    session.classify_batch([jpeg, png, ...])    # float32[N,classes], threads outside of the interpreter's lock
    session.run(array)                          # any tensors, without copies

Everything that octet refuses is an octet.Error with one sentence.
"""

from ._convert import convert
from ._library import Error, Status, lib as _lib
from ._model import Model, ModelDescription, Report, TensorDescription
from ._session import Prediction, Session

__version__: str = _lib.octet_version().decode()

__all__ = ["Error", "Model", "ModelDescription", "Prediction", "Report", "Session", "Status", "TensorDescription",
           "convert"]
