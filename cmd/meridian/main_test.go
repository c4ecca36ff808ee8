package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"meridian": main})
}

// TestScripts runs the command as a user would: testdata/*.txt.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", RequireExplicitExec: true, Cmds: map[string]func(*testscript.TestScript, bool, []string){
		// code N ARGS... runs meridian and wants the exit code N.
		"code": func(ts *testscript.TestScript, _ bool, args []string) {
			err := ts.Exec("meridian", args[1:]...)
			got := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				got = exit.ExitCode()
			} else if err != nil {
				ts.Fatalf("%v", err)
			}
			if strconv.Itoa(got) != args[0] {
				ts.Fatalf("exit code %d, want %s", got, args[0])
			}
		},
	}})
}

// Commands that only tell something write no file.
func TestReadOnlyCommandsLeaveNoFiles(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, args := range [][]string{{"version"}, {"help"}, {"explain", "E-ROUTE-NOHOST"}, {"completion", "bash"}} {
		if code := quietly(t, args); code != exitOK {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// quietly runs a command with its output thrown away.
func quietly(t *testing.T, args []string) int {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	out := os.Stdout
	os.Stdout = null
	defer func() { os.Stdout = out }()
	return run(args)
}
