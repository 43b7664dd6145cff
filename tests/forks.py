"""A process of its own that forks a child."""

import subprocess
import sys
import textwrap


def run_forking(before, child, meanwhile="", arguments=(), **settings):
    """Run lines of code, others in a child that is forked then, others beside it; end as the child ends."""
    code = (
        f"import os\n{textwrap.dedent(before)}\n"
        f"pid = os.fork()\nif pid == 0:\n{textwrap.indent(textwrap.dedent(child), '    ')}\n"
        f"{textwrap.dedent(meanwhile)}\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=False, **settings)
