package geo

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// iso is ISO 3166-1, by heart and by letter, so that a row left out is found.
const iso = `AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ
NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ
UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XK`

func TestCountryTableIsComplete(t *testing.T) {
	want := strings.Fields(iso)
	slices.Sort(want)
	var got []string
	for _, c := range countries {
		got = append(got, c.code)
	}
	if !slices.Equal(got, want) {
		t.Errorf("codes are not sorted, or not ISO's: got %d, want %d", len(got), len(want))
	}
	if len(got) != 250 {
		t.Errorf("%d countries, want 249 and XK", len(got))
	}
	for _, c := range countries {
		if !isContinent(c.continent) {
			t.Errorf("%s is on %q", c.code, c.continent)
		}
		if !At(c.lat, c.lon).Known() || math.Abs(c.lon) > 180 {
			t.Errorf("%s is at %g, %g", c.code, c.lat, c.lon)
		}
		if strings.TrimSpace(c.code) != c.code || len(c.code) != 2 {
			t.Errorf("code %q", c.code)
		}
	}
}

// A country lies on its continent, give or take: a slip of a sign shows here.
func TestCountriesLieOnTheirContinents(t *testing.T) {
	boxes := map[string][4]float64{ // south, north, west, east
		"AF": {-35, 38, -26, 58},
		"AN": {-90, -45, -40, 75},
		"AS": {-13, 56, 33, 146},
		"EU": {34, 79, -25, 54},
		"NA": {7, 67, -110, -51},
		"OC": {-41, 20, 100, 230},
		"SA": {-53, 10, -80, -45},
	}
	for _, c := range countries {
		box, lon := boxes[c.continent], c.lon
		if c.continent == "OC" && lon < 0 {
			lon += 360
		}
		if c.lat < box[0] || c.lat > box[1] || lon < box[2] || lon > box[3] {
			t.Errorf("%s at %g, %g is not on %s", c.code, c.lat, c.lon, c.continent)
		}
	}
}

func TestStateTable(t *testing.T) {
	if !slices.IsSortedFunc(states[:], func(a, b state) int { return strings.Compare(a.name, b.name) }) {
		t.Error("states are not sorted")
	}
	codes := map[string]bool{}
	for i, s := range states {
		if i > 0 && states[i-1].name == s.name {
			t.Errorf("%q is there twice", s.name)
		}
		if s.name != strings.ToLower(s.name) || len(s.code) != 2 || s.code != strings.ToUpper(s.code) {
			t.Errorf("bad row %v", s)
		}
		codes[s.code] = true
	}
	if len(codes) != 56 { // 50 states, DC, and the territories AS GU MP PR VI
		t.Errorf("%d codes, want 56", len(codes))
	}
	f := func(name, want string) {
		t.Helper()
		if got := stateCode(name); got != want {
			t.Errorf("stateCode(%q) = %q, want %q", name, got, want)
		}
	}
	f("California", "CA")
	f("NEW YORK", "NY")
	f("washington", "WA")
	f("Washington, D.C.", "DC")
	f("District of Columbia", "DC")
	f("Virginia", "VA")
	f("West Virginia", "WV")
	f("", "")
	f("Bavaria", "")
	f("Californi", "")
	f("Californiaa", "")
}
