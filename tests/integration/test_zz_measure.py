import os, subprocess, time
import pytest
from pathlib import Path
from backup.engine import Access, Attached, helper
from tests.integration.engine_side import TAR, reached_by_ssh, ssh_binary
from tests.testbed import images


def test_measure(engine, scratch, ssh_host, tmp_path, image, capsys):
    v = scratch.volume()
    d = engine.volume_directory(v)
    with (d / "data").open("wb") as f:
        for i in range(300):
            f.write(os.urandom(1 << 19) + (b"some text %d " % i) * 40000)
    size = (d / "data").stat().st_size
    config = ssh_host.config_for(tmp_path)
    out = []

    def report(name, secs):
        out.append(f"{name}: {size / secs / 1e6:.0f} MB/s")

    ssh = [ssh_binary(), "-F", str(config), "-c", "aes128-gcm@openssh.com", "far"]
    for rnd in range(2):
        t = time.monotonic()
        subprocess.run(
            [*ssh, f"docker run --rm -v {v}:/v {image} tar -C /v -cf - . "],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        report("ssh docker run tar", time.monotonic() - t)
        for binary in (False, True):
            for wish in ("never", "always"):
                with (
                    reached_by_ssh(
                        ssh_host, tmp_path, binary=binary, VOLTAR_SSH_COMPRESSION=wish
                    ) as e,
                    helper(e, (Attached(v, "/v"),), access=Access.WRITE, run="t") as h,
                ):
                    t = time.monotonic()
                    with h.reading(TAR) as s:
                        n = sum(len(b) for b in s)
                    report(
                        f"voltar read {'binary' if binary else 'paramiko'} {wish}",
                        time.monotonic() - t,
                    )
                    t = time.monotonic()
                    buf = (d / "data").read_bytes()
                    t = time.monotonic()
                    h.writing(
                        ["dd", "of=/dev/null", "bs=1M", "status=none"],
                        (buf[i : i + (1 << 20)] for i in range(0, len(buf), 1 << 20)),
                    )
                    report(
                        f"voltar write {'binary' if binary else 'paramiko'} {wish}",
                        time.monotonic() - t,
                    )
    t = time.monotonic()
    subprocess.run([*ssh, f"cat {d}/data"], stdout=subprocess.DEVNULL, check=False)
    with capsys.disabled():
        print("\n".join(["", *out]))
