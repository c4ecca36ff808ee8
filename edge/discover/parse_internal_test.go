package discover

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
)

// FuzzList: what a file or a server says never panics, and what is accepted can be dialled.
func FuzzList(f *testing.F) {
	f.Add([]byte(`[{"targets": ["192.0.2.1:80"], "labels": {"weight": "5"}}]`))
	f.Add([]byte("- targets: ['[2001:db8::1]:80', a.example.org:1]\n  labels: {region: eu}\n"))
	f.Add([]byte("- &a {targets: [x:1]}\n- *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseList(data, &config.Discovery{Weight: 1})
		if err != nil && list != nil {
			t.Error("an error with endpoints")
		}
		for _, e := range list {
			if e.ID == "" || e.Address.IsValid() == (e.Host != "") || e.Weight < 0 || e.Weight > 255 {
				t.Errorf("accepted %+v", e)
			}
		}
	})
}

// FuzzAnswer: what a resolver sends never panics.
func FuzzAnswer(f *testing.F) {
	q := new(dns.Msg).SetQuestion("www.example.org.", dns.TypeA)
	m := new(dns.Msg).SetReply(q)
	rr, _ := dns.NewRR("www.example.org. 60 A 192.0.2.1")
	m.Answer = []dns.RR{rr}
	packet, _ := m.Pack()
	f.Add(packet)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := new(dns.Msg)
		if m.Unpack(data) != nil || len(m.Question) != 1 {
			return
		}
		records, _, _ := follow(m, m.Question[0].Qtype)
		for _, rr := range records {
			if rr.Header().Rrtype != m.Question[0].Qtype {
				t.Errorf("took %s", rr)
			}
		}
	})
}
