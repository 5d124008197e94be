"""What a hostile program may try. Each prints LEAK if it got through; anything else is harmless.

Names in braces are filled in by the runner with what really exists on the host: a file with a
secret, a path that can be written to, listening sockets.
"""

SYSCALL = """
import ctypes, platform
libc = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"
def call(x86, arm, *args):
    return libc.syscall(arm if ARM else x86, *args)
"""


# What may be tried without any isolation: the rest would harm the machine it runs on.
MILD = (
    "TCP to a listener on this host", "unix socket of this host",
    "abstract unix socket of this host", "read a secret file", "read /etc/passwd",
    "write outside", "change the secret's mode", "remove the secret", "fork", "vfork and exec",
)  # fmt: skip


def calls(x86: int, arm: int, *args: object) -> str:
    """Return the program that makes one system call and leaks if that works."""
    given = ", ".join(map(str, args))
    numbers = f"{x86}, {arm}{', ' + given if given else ''}"
    return f"{SYSCALL}print('LEAK' if call({numbers}) >= 0 else 'no')"


def tries(what: str) -> str:
    """Return the program that leaks if `what` raises nothing."""
    lines = "\n".join(f"    {line}" for line in what.strip().splitlines())
    failed = "except BaseException as e:\n    print('no', type(e))\nelse:\n    print('LEAK')"
    return f"import os, sys\ntry:\n{lines}\n{failed}"


ATTACKS: dict[str, str] = {
    # the network and other processes' sockets
    "TCP to a listener on this host": tries(
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"
    ),
    "UDP datagram": tries("import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', {port}))"),
    "IPv6 socket": tries("import socket\nsocket.socket(10, 1)"),
    "raw socket": tries("import socket\nsocket.socket(2, 3, 1)"),
    "netlink socket": tries("import socket\nsocket.socket(16, 3, 0)"),
    "vsock socket": tries("import socket\nsocket.socket(40, 1)"),
    "unix socket of this host": tries(
        "import socket\ns = socket.socket(1, 1)\ns.connect({unix!r})"
    ),
    "abstract unix socket of this host": tries(
        "import socket\ns = socket.socket(1, 1)\ns.connect('\\0' + {abstract!r})"
    ),
    "datagram to an abstract socket from a pair": tries(
        "import socket\na, b = socket.socketpair(1, 2)\n"
        "a.sendto(b'x', '\\0' + {abstract!r} + '-datagram')"
    ),
    "name look-up": tries("import socket\nsocket.getaddrinfo('example.com', 80)"),
    # files
    "read a secret file": tries("open({secret!r}).read()"),
    "read it through a link": tries("os.symlink({secret!r}, 'link')\nopen('link').read()"),
    "read it through a hard link": tries("os.link({secret!r}, 'hard')\nopen('hard').read()"),
    "read it by climbing": tries("open('../' * 20 + {secret!r}.lstrip('/')).read()"),
    "read it through /proc/self/root": tries("open('/proc/self/root' + {secret!r}).read()"),
    "read it through /proc/self/cwd": tries(
        "open('/proc/self/cwd/' + '../' * 20 + {secret!r}.lstrip('/')).read()"
    ),
    "read it by a handle": calls(304, 265, -100, "b'x'", 0),
    "list the secret's folder": tries("os.listdir(os.path.dirname({secret!r}))"),
    "read /etc/passwd": tries("open('/etc/passwd').read()"),
    "read /etc/shadow": tries("open('/etc/shadow').read()"),
    "list home folders": tries("assert os.listdir('/home') + os.listdir('/root')"),
    "write outside": tries("open({outside!r}, 'w').write('x')"),
    "write to /tmp": tries("open('/tmp/instar-escape', 'w').write('x')"),
    "write to /dev/shm": tries("open('/dev/shm/instar-escape', 'w').write('x')"),
    "write to the interpreter": tries(
        "open(os.path.join(os.path.dirname(os.__file__), 'escape.py'), 'w').write('x')"
    ),
    "change the secret's mode": tries(
        "os.chmod({secret!r}, 0o777)\nassert os.stat({secret!r}).st_mode & 0o777 == 0o777"
    ),
    "remove the secret": tries("os.remove({secret!r})"),
    "truncate the secret": tries("os.truncate({secret!r}, 0)"),
    "set the secret's times": tries("os.utime({secret!r})"),
    "make a device": tries("os.mknod('disk', 0o60600, os.makedev(8, 0))"),
    "change the root": tries("os.chroot('.')"),
    # the caller
    "the caller's environment": "import os\nprint('LEAK' if {variable!r} in os.environ else 'no')",
    "the environment of process 1": (
        "try:\n    print('LEAK' if {variable!r} in open('/proc/1/environ').read() else 'no')\n"
        "except OSError:\n    print('no')"
    ),
    "the environment of any process": (
        "import glob\nfor path in glob.glob('/proc/[0-9]*/environ'):\n    try:\n"
        "        if {variable!r} in open(path).read(): print('LEAK')\n    except OSError: pass"
    ),
    "the caller's command line": (
        "try:\n    print('LEAK' if b'escapes' in open('/proc/%d/cmdline' % {pid}, 'rb').read() "
        "else 'no')\nexcept OSError:\n    print('no')"
    ),
    # WebAssembly holds its scratch folder open; any other handle would be one of ours
    "open handles": (
        "import os, stat\nfor n in range(3, 1024):\n    try: found = os.fstat(n)\n"
        "    except OSError: continue\n"
        "    if not stat.S_ISDIR(found.st_mode): print('LEAK', n)\n"
        "    elif set(os.listdir(n)) != set(os.listdir('.')): print('LEAK', n)"
    ),
    "the handles of any process": (
        "import glob, os\nfor path in glob.glob('/proc/[0-9]*/fd/*'):\n"
        "    if path.split('/')[2] == str(os.getpid()): continue\n"
        "    try: open(path, 'rb')\n    except OSError: continue\n    print('LEAK', path)"
    ),
    "the command line of process 1": tries("assert open('/proc/1/cmdline').read()"),
    "the mounts of this host": tries("assert open('/proc/self/mountinfo').read()"),
    "the kernel's settings": tries("open('/sys/kernel/mm/transparent_hugepage/enabled').read()"),
    "take a handle of the parent": calls(438, 438, 3, 0, 0),
    "kill the caller": tries("os.kill({pid}, 9)"),
    "kill the parent": tries("os.kill(os.getppid(), 9)"),
    "kill everything": tries("os.kill(-1, 9)"),
    "signal by a file's owner": tries(
        "import fcntl, socket\na, b = socket.socketpair()\n"
        "fcntl.fcntl(a, 8, os.getppid())\nfcntl.fcntl(a, 10, 9)"
    ),
    "signal by a process handle": calls(434, 434, "libc.getppid()", 0),
    "trace the parent": calls(101, 117, 16, "libc.getppid()", 0, 0),
    "read the parent's memory": calls(310, 270, "libc.getppid()", 0, 0, 0, 0, 0),
    "write the parent's memory": tries("open('/proc/%d/mem' % os.getppid(), 'r+b')"),
    "change the parent's limits": calls(302, 261, "libc.getppid()", 7, 0, "b'0' * 16"),
    "outlive by clearing the death signal": calls(157, 167, 1, 0, 0, 0, 0),
    # new processes and programs
    "fork": tries("if os.fork() == 0: os._exit(0)"),
    "fork bomb": tries("for _ in range(300):\n    if os.fork() == 0:\n        while True: pass"),
    "vfork and exec": tries("import subprocess\nsubprocess.run(['/bin/true'])"),
    "posix_spawn": tries("os.posix_spawn('/bin/true', ['true'], {{}})"),
    "exec": tries("os.execv('/bin/echo', ['echo', 'LEAK'])"),
    "clone without threads": calls(56, 220, 17, 0, 0, 0, 0),
    "clone3": calls(435, 435, "b'\\0' * 88", 88),
    "exec from memory": calls(319, 279, "b'x'", 0),
    "daemonise": tries("if os.fork() == 0:\n    os.setsid()\n    while True: pass"),
    "a new session": tries("os.setsid()"),
    # the kernel's doors
    "new user namespace": calls(272, 97, 0x10000000),
    "new mount namespace": calls(272, 97, 0x20000),
    "enter a namespace": calls(308, 268, 0, 0),
    "mount": calls(165, 40, "b'none'", "b'/'", "b'tmpfs'", 0, 0),
    "unmount": calls(166, 39, "b'/'", 2),
    "pivot_root": calls(155, 41, "b'.'", "b'.'"),
    "a mount by the new calls": calls(430, 430, "b'tmpfs'", 0),
    "shared memory that stays": calls(29, 194, 4919, 4096, 0o1600),
    "a message queue that stays": calls(68, 186, 4919, 0o1600),
    "semaphores that stay": calls(64, 190, 4919, 1, 0o1600),
    "watch files": calls(300, 262, 0, 0),
    "another's priority": calls(141, 140, 0, "libc.getppid()", 19),
    "bpf": calls(321, 280, 0, "b'\\0' * 128", 128),
    "perf events": calls(298, 241, "b'\\0' * 128", 0, -1, -1, 0),
    "userfaultfd": calls(323, 282, 0),
    "add a key": calls(248, 217, "b'user'", "b'x'", "b'y'", 1, -4),
    "keyctl": calls(250, 219, 0, -4, 0),
    "io_uring": calls(425, 425, 8, "b'\\0' * 120"),
    "load a module": calls(313, 273, 0, "b''", 0),
    "set the clock": calls(227, 112, 0, "b'\\0' * 16"),
    "reboot": calls(169, 142, 0, 0, 0, 0),
    "set the host name": calls(170, 161, "b'x'", 1),
    "become root": tries("assert os.getuid() != 0\nos.setuid(0)"),
    "personality": calls(135, 92, 0x0040000),
    "type into the terminal": tries("import fcntl, termios\nfcntl.ioctl(0, termios.TIOCSTI, b'x')"),
    "x32 calls": calls(0x40000000 + 41, 198, 1, 1, 0),
    "32-bit calls": (
        "import ctypes, mmap, platform\n"
        "if platform.machine() == 'x86_64':\n"
        "    code = bytes.fromhex('b802000000cd80c3')  # mov eax, 2 (fork); int 0x80; ret\n"
        "    m = mmap.mmap(-1, 4096, prot=7)\n    m.write(code)\n"
        "    f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\n"
        "    print('LEAK' if f() >= 0 else 'no')"
    ),
    # more than its share
    "memory bomb": tries("x = bytearray(2**31)"),
    "memory in many threads": (
        "import threading\nkept = []\ndef eat():\n    try: kept.append(bytearray(60 * 2**20))\n"
        "    except MemoryError: pass\n"
        "threads = []\nfor _ in range(20):\n    try:\n        t = threading.Thread(target=eat)\n"
        "        t.start()\n        threads.append(t)\n    except RuntimeError: break\n"
        "for t in threads: t.join()\nprint('LEAK' if len(kept) > 8 else 'no')"
    ),
    "endless loop": "while True: pass",
    "endless loop, deaf to signals": (
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass"
    ),
    "endless sleep": "import time\ntime.sleep(9999)",
    "endless exit": "import atexit, time\natexit.register(time.sleep, 9999)",
    "a thread that stays": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9999,)).start()"
    ),
    "output flood": "while True: print('x' * 10000)",
    "error flood": "import sys\nwhile True: sys.stderr.write('x' * 10000)",
    "a large file": tries("open('x', 'wb').write(bytes(300 * 2**20))"),
    "many files": tries(
        "for i in range(20000): open(str(i), 'w').close()\nimport time\ntime.sleep(1)"
    ),
    "files without a name": tries(
        "kept, part = [], bytes(2**20)\nfor i in range(8):\n    f = open(str(i), 'wb')\n"
        "    kept.append(f)\n    os.unlink(str(i))\n    for _ in range(40): f.write(part)\n"
        "import time\ntime.sleep(1)"
    ),
    "deep folders": tries(
        "for _ in range(20000):\n    os.mkdir('d')\n    os.chdir('d')\nimport time\ntime.sleep(1)"
    ),
    "many handles": tries("kept = [open('/dev/null') for _ in range(2000)]"),
    "endless recursion in C": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
    "a crash": "import ctypes\nctypes.string_at(0)",
    "abort": "import os\nos.abort()",
}
