package healthcheck_test

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

// quiet is the logger net/http wants for errors a test causes on purpose.
func quiet(w io.Writer) *log.Logger { return log.New(w, "", 0) }

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	inBubble(t, func(r *rig) {
		r.farm.set(two, true)
		not := with(tcp("not-b", two), func(c *config.Check) { c.Inverted = true })
		r.apply(checks(tcp("a", one), tcp("b", two), not))
		r.pass(7 * time.Second) // b: three quick failures; a: one or two successes
		if err := testutil.GatherAndCompare(reg, strings.NewReader(`
			# HELP meridian_health_up Whether a check counts an endpoint as up (1) or down (0); unknown counts as up, or as down when inverted.
			# TYPE meridian_health_up gauge
			meridian_health_up{check="a",endpoint="192.0.2.1:80"} 1
			meridian_health_up{check="b",endpoint="192.0.2.2:80"} 0
			meridian_health_up{check="not-b",endpoint="192.0.2.2:80"} 1
			# HELP meridian_health_transitions_total Changes of state, by the state that began.
			# TYPE meridian_health_transitions_total counter
			meridian_health_transitions_total{check="a",to="up"} 1
			meridian_health_transitions_total{check="b",to="down"} 1
			meridian_health_transitions_total{check="not-b",to="up"} 1
		`), "meridian_health_up", "meridian_health_transitions_total"); err != nil {
			t.Error(err)
		}
		if n := value(t, reg, "meridian_health_probes_total", "b", "connect"); n != 3 {
			t.Errorf("%v failed probes of b, want 3", n)
		}
		if n := value(t, reg, "meridian_health_probes_total", "a", "success"); n != float64(len(r.farm.times(one))) {
			t.Errorf("%v probes of a, want %d", n, len(r.farm.times(one)))
		}
		problems, err := testutil.GatherAndLint(reg)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}

		r.apply(checks(tcp("a", one)))
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "check" && l.GetValue() != "a" {
						t.Errorf("%s still has a series of %s", f.GetName(), l.GetValue())
					}
				}
			}
		}
	}, func(o *healthcheck.Options) { o.Registerer = reg })
}

// value is one counter.
func value(t *testing.T, reg *prometheus.Registry, name, check, result string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == name && labels["check"] == check && labels["result"] == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestEachChangeIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	handler := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("a", one), config.Check{Name: "any", Type: "calculated", Of: []string{"a"}, AtLeast: 1}))
		r.pass(time.Minute)
		r.farm.set(one, true)
		r.pass(10 * time.Minute)
	}, func(o *healthcheck.Options) { o.Log = slog.New(handler) })
	const want = `level=INFO msg="health up" check=a from=unknown reason="connected in 0s" endpoint=192.0.2.1:80
level=INFO msg="health up" check=any from=unknown reason="1 of 1 healthy, want 1"
level=WARN msg="health down" check=a from=up reason="connect: connection refused" endpoint=192.0.2.1:80
level=WARN msg="health down" check=any from=up reason="0 of 1 healthy, want 1"
`
	if out.String() != want {
		t.Errorf("log:\n%swant:\n%s", out.String(), want)
	}
}
