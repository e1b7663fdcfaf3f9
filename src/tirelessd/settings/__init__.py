"""Every knob of the daemon, once: typed, bounded, unit in the name, with a reason for its default.

`load` reads one YAML file, lays the environment over it and answers `Settings`, or raises
`SettingsError` with every problem. The knobs stand in `model` and `queue`; the other modules derive
what they need (paths, variables, masks, the reference page) from those.
"""

from tirelessd.settings.load import load, parse
from tirelessd.settings.model import (
    AuthSettings,
    LimitsSettings,
    ListenerSettings,
    LogSettings,
    Role,
    Settings,
    TokenSettings,
)
from tirelessd.settings.problems import Problem, SettingsError
from tirelessd.settings.queue import (
    EchoHandlerSettings,
    HttpHandlerSettings,
    PythonHandlerSettings,
    QueueSettings,
)

__all__ = [
    "AuthSettings",
    "EchoHandlerSettings",
    "HttpHandlerSettings",
    "LimitsSettings",
    "ListenerSettings",
    "LogSettings",
    "Problem",
    "PythonHandlerSettings",
    "QueueSettings",
    "Role",
    "Settings",
    "SettingsError",
    "TokenSettings",
    "load",
    "parse",
]
