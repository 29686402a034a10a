"""What the wrapper is told from outside: command line first, then the environment.

Environment:
  LIFEBOAT_LAB_EMULATOR_PORT  port on 127.0.0.1 (default 4566)
  LIFEBOAT_LAB_GATEWAYS       JSON object, region -> endpoint that the region's functions call;
                              a region that is not named calls the emulator directly
  LIFEBOAT_LAB_SSM_URL        where CloudFormation creates AWS::SSM::Document (the lab's SSM API)
  LIFEBOAT_LAB_CACHES         JSON object, region -> object of ElastiCache replication group -> host:port
                              of the Redis that it is
  LIFEBOAT_LAB_EMULATOR_DIR   scratch directory, whose tmp/ is emptied at start and at the end
                              (default target/lab/emulator/<port>)
  LIFEBOAT_LAB_LOG            log level on stderr (default ERROR)
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Settings:
    """One start of the emulator."""

    port: int
    gateways: Mapping[str, str]
    ssm_url: str
    caches: Mapping[str, Mapping[str, str]]
    scratch: Path
    log_level: str
    outlive_parent: bool

    @property
    def endpoint(self) -> str:
        """The emulator's own address."""
        return f"http://127.0.0.1:{self.port}"

    def endpoint_for(self, region: str) -> str:
        """The endpoint that a function running in `region` calls."""
        return self.gateways.get(region, self.endpoint)


def parse(argv: list[str], environ: Mapping[str, str]) -> Settings:
    """Read the settings; argparse ends the process with status 2 on a wrong one."""
    parser = argparse.ArgumentParser(
        prog="wrap.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=environ.get("LIFEBOAT_LAB_EMULATOR_PORT", "4566"))
    parser.add_argument(
        "--outlive-parent",
        action="store_true",
        help="keep running when the process that started this one ends (for a shell's background job)",
    )
    args = parser.parse_args(argv)
    try:
        gateways = json.loads(environ.get("LIFEBOAT_LAB_GATEWAYS") or "{}")
        if not isinstance(gateways, dict) or not all(isinstance(url, str) for url in gateways.values()):
            raise ValueError("expected an object of region to URL")
    except ValueError as error:
        parser.error(f"LIFEBOAT_LAB_GATEWAYS: {error}")
    try:
        caches = json.loads(environ.get("LIFEBOAT_LAB_CACHES") or "{}")
        addresses = [address for groups in caches.values() for address in groups.values()]
        if not all(isinstance(address, str) and address.rpartition(":")[2].isdigit() for address in addresses):
            raise ValueError("expected host:port of each replication group")
    except (ValueError, AttributeError) as error:
        parser.error(f"LIFEBOAT_LAB_CACHES: {error}")
    scratch = environ.get("LIFEBOAT_LAB_EMULATOR_DIR") or CHECKOUT / "target" / "lab" / "emulator" / str(args.port)
    return Settings(
        port=args.port,
        gateways=gateways,
        ssm_url=environ.get("LIFEBOAT_LAB_SSM_URL", ""),
        caches=caches,
        scratch=Path(scratch),
        log_level=environ.get("LIFEBOAT_LAB_LOG", "ERROR").upper(),
        outlive_parent=args.outlive_parent,
    )


def ministack_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment that ministack runs in: nothing of the host's except PATH, LANG and TZ.

    ministack hands its own environment to the functions it runs; what is not
    here cannot reach them.
    """
    kept = {name: environ[name] for name in ("PATH", "LANG", "TZ") if name in environ}
    return kept | {
        "GATEWAY_PORT": str(settings.port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        "MINISTACK_REGION": "us-east-1",
        "MINISTACK_ACCOUNT_ID": "000000000000",
        # Functions act under their role, not as root.
        "AUTH": "true",
        # Its MQTT listener binds 0.0.0.0, and SFTP is not needed.
        "IOT_MTLS_ENABLED": "false",
        "SFTP_ENABLED": "false",
        # Never talk to a container engine of the host.
        "DOCKER_HOST": "unix:///nonexistent",
        "LAMBDA_EXECUTOR": "local",
        # Idle surplus workers go after 20 s: a burst must not keep its processes.
        "LAMBDA_WARM_TTL_SECONDS": "20",
        "LOG_LEVEL": settings.log_level,
        "TMPDIR": str(settings.scratch / "tmp"),
        "HOME": str(settings.scratch),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
