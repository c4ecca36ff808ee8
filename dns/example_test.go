package dns_test

import (
	"fmt"
	"net/netip"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
)

func ExampleCompile() {
	zones, err := dns.Compile(&config.Config{Zones: []config.Zone{{
		Name: "example.org.", Nameservers: []string{"ns1.example.org."}, TTL: time.Hour, NegativeTTL: time.Minute,
		Hostmaster: "hostmaster.example.org.",
		Records: []config.Record{
			{Name: "www.example.org.", Type: "A", TTL: time.Minute, Values: []string{"192.0.2.1"}},
		},
	}}}, dns.Deps{Serial: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := zones.Explain("www.example.org", mdns.TypeA, &dns.Client{Addr: netip.MustParseAddr("192.0.2.53")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.RCode, e.Hops[0].Match, e.Answer)
	// Output: NOERROR exact [www.example.org.	60	IN	A	192.0.2.1]
}
