"""What can end a run besides its programs ending."""


class HarnessError(Exception):
    """The code under test used the simulator wrongly, or raised: never a finding."""


class StopRun(BaseException):
    """Raised inside a CPU to end the whole run at once.

    A ``BaseException``, so that an ``except Exception`` in the code under test cannot
    swallow it. Raise it through :meth:`Simulator.stop`, which makes all primitives inert
    before the ``finally`` blocks on the way out run.
    """


class StepBound(StopRun):
    """The run used up its step bound; nothing may be concluded from its end."""
