# SPDX-License-Identifier: Apache-2.0
"""What a device.json must say to be taken for the description of the machine at hand."""
import json
import os
import pathlib
import subprocess

MODEL = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/models/timm-finetuned"


def this_machine(command, environment):
    """`command` is how lutra is called; LUTRA_ISA in the environment names another level of kernels than the best."""
    run = subprocess.run([*command, "profile", MODEL, "--repeat", "1", "--threads", "1", "--no-energy", "--json", "--quiet"], check=True,
                         capture_output=True, text=True, env={**environment, "XDG_CACHE_HOME": "/nonexistent"})
    result = json.loads(run.stdout)
    return {"title": result["device"], "isa": result["isa"],
            "cores": {"value": len(os.sched_getaffinity(0)), "source": "measured: by the system"}}
