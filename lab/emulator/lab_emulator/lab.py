"""What every mend gets."""

from dataclasses import dataclass, field

from .regions import Regions
from .settings import Settings


@dataclass
class Lab:
    """The settings of this start and the state of the regions."""

    settings: Settings
    regions: Regions = field(default_factory=Regions)
