// Package need finds the outside programs that black-box tests drive, such as dig, curl and promtool.
//
//	dig := need.Tool(t, "dig")
//	out, err := exec.CommandContext(t.Context(), dig, "@127.0.0.1", "-p", port, "www.example.org").Output()
//
// A developer without the program sees a skip that says what to install. In the project's own checks, where
// MERIDIAN_CI is 1 and the programs have just been installed, a missing one fails the test: a check that silently
// skips is a check nobody has. Test support: only _test files may import it. Safe for concurrent use.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// debianPython is the one that Debian's packages of modules are for; another may come first in PATH.
const debianPython = "/usr/bin/python3"

// Variable is the environment variable that turns a missing Tool from a skip into a failure when it is "1".
const Variable = "MERIDIAN_CI"

// packages names the Debian package of each program or Python module whose package is called something else.
var packages = map[string]string{
	"certbot_dns_rfc2136": "python3-certbot-dns-rfc2136",
	"dig":                 "dnsutils",
	"kdig":                "knot-dnsutils",
	"fstrm_capture":       "fstrm-bin",
	"h2load":              "nghttp2-client",
	"knotd":               "knot",
	"named":               "bind9",
	"nghttp":              "nghttp2-client",
	"nsupdate":            "dnsutils",
	"promtool":            "prometheus",
	"systemd-analyze":     "systemd",
}

// Tool returns the path of the program called name. If it is not installed the test is skipped, or fails when
// MERIDIAN_CI is 1. It must be called from the goroutine that runs the test.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	missing(t, name)
	return ""
}

// Python returns the path of a Python that can import a module, such as certbot_dns_rfc2136. Without one it does what Tool does.
func Python(t testing.TB, module string) string {
	t.Helper()
	if exec.CommandContext(t.Context(), debianPython, "-c", "import "+module).Run() == nil {
		return debianPython
	}
	missing(t, module)
	return ""
}

// missing ends a test for want of a program or module.
func missing(t testing.TB, name string) {
	t.Helper()
	if os.Getenv(Variable) == "1" {
		t.Fatalf("%s is not installed and %s=1 allows no skip: apt-get install %s", name, Variable, Package(name))
	}
	t.Skipf("SKIPPED: %s is not installed: apt-get install %s", name, Package(name))
}

// Optional is Tool for a program that not every machine can have, such as systemd-analyze: it skips everywhere, and in
// the project's own checks too.
func Optional(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed here: apt-get install %s", name, Package(name))
	}
	return path
}

// Package returns the name of the Debian package that holds the program or module called name. It is name itself unless the two
// are known to differ.
func Package(name string) string {
	if p, ok := packages[name]; ok {
		return p
	}
	return name
}
