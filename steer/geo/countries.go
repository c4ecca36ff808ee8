package geo

import (
	"slices"
	"strings"
)

// country is one row of the country table. Positions are kept as degrees, which
// people can check against a map.
type country struct {
	code      string
	continent string
	lat, lon  float64
}

// countries holds every ISO 3166-1 alpha-2 code, and XK (Kosovo, user-assigned, as
// everybody uses it), sorted by code. It is never written.
//
// Continents are those of Route 53's geolocation routing, which differ in places
// from other people's: Armenia, Azerbaijan, Georgia and Kazakhstan are in Asia;
// Cyprus, Russia and Turkey in Europe; the US outlying islands in Oceania. Route 53
// has no location for BV, CX, EH and HM; they have the continent they lie on.
//
// A position is the middle of the country's land or, where most of its people live
// far from there, as in Australia, Canada and Russia, the middle of its people: it
// stands for clients, not for land.
var countries = [...]country{
	{"AD", "EU", 42.55, 1.58},
	{"AE", "AS", 24.40, 54.40},
	{"AF", "AS", 33.94, 67.71},
	{"AG", "NA", 17.06, -61.80},
	{"AI", "NA", 18.22, -63.07},
	{"AL", "EU", 41.15, 20.17},
	{"AM", "AS", 40.07, 45.04},
	{"AO", "AF", -11.20, 17.87},
	{"AQ", "AN", -82.86, 0.00},
	{"AR", "SA", -33.60, -61.50},
	{"AS", "OC", -14.27, -170.70},
	{"AT", "EU", 47.52, 14.55},
	{"AU", "OC", -33.00, 145.00},
	{"AW", "NA", 12.52, -69.97},
	{"AX", "EU", 60.18, 19.92},
	{"AZ", "AS", 40.14, 47.58},
	{"BA", "EU", 43.92, 17.68},
	{"BB", "NA", 13.19, -59.54},
	{"BD", "AS", 23.68, 90.36},
	{"BE", "EU", 50.50, 4.47},
	{"BF", "AF", 12.24, -1.56},
	{"BG", "EU", 42.73, 25.49},
	{"BH", "AS", 26.07, 50.56},
	{"BI", "AF", -3.37, 29.92},
	{"BJ", "AF", 9.31, 2.32},
	{"BL", "NA", 17.90, -62.83},
	{"BM", "NA", 32.32, -64.76},
	{"BN", "AS", 4.54, 114.73},
	{"BO", "SA", -16.29, -63.59},
	{"BQ", "NA", 12.18, -68.26},
	{"BR", "SA", -16.50, -45.50},
	{"BS", "NA", 25.03, -77.40},
	{"BT", "AS", 27.51, 90.43},
	{"BV", "AN", -54.42, 3.36},
	{"BW", "AF", -22.33, 24.68},
	{"BY", "EU", 53.71, 27.95},
	{"BZ", "NA", 17.19, -88.50},
	{"CA", "NA", 48.40, -88.00},
	{"CC", "AS", -12.16, 96.87},
	{"CD", "AF", -4.04, 21.76},
	{"CF", "AF", 6.61, 20.94},
	{"CG", "AF", -0.23, 15.83},
	{"CH", "EU", 46.82, 8.23},
	{"CI", "AF", 7.54, -5.55},
	{"CK", "OC", -21.24, -159.78},
	{"CL", "SA", -34.50, -71.20},
	{"CM", "AF", 7.37, 12.35},
	{"CN", "AS", 33.00, 113.00},
	{"CO", "SA", 4.57, -74.30},
	{"CR", "NA", 9.75, -83.75},
	{"CU", "NA", 21.52, -77.78},
	{"CV", "AF", 15.12, -23.61},
	{"CW", "NA", 12.17, -68.98},
	{"CX", "AS", -10.45, 105.69},
	{"CY", "EU", 35.13, 33.43},
	{"CZ", "EU", 49.82, 15.47},
	{"DE", "EU", 51.17, 10.45},
	{"DJ", "AF", 11.83, 42.59},
	{"DK", "EU", 56.00, 10.50},
	{"DM", "NA", 15.41, -61.37},
	{"DO", "NA", 18.74, -70.16},
	{"DZ", "AF", 35.50, 3.00},
	{"EC", "SA", -1.83, -78.18},
	{"EE", "EU", 58.60, 25.01},
	{"EG", "AF", 29.80, 31.20},
	{"EH", "AF", 24.22, -12.89},
	{"ER", "AF", 15.18, 39.78},
	{"ES", "EU", 40.46, -3.75},
	{"ET", "AF", 9.15, 40.49},
	{"FI", "EU", 61.50, 25.00},
	{"FJ", "OC", -17.71, 178.07},
	{"FK", "SA", -51.80, -59.52},
	{"FM", "OC", 6.89, 158.22},
	{"FO", "EU", 62.00, -6.91},
	{"FR", "EU", 46.60, 2.21},
	{"GA", "AF", -0.80, 11.61},
	{"GB", "EU", 54.00, -2.50},
	{"GD", "NA", 12.12, -61.68},
	{"GE", "AS", 42.32, 43.36},
	{"GF", "SA", 3.93, -53.13},
	{"GG", "EU", 49.46, -2.58},
	{"GH", "AF", 7.95, -1.02},
	{"GI", "EU", 36.14, -5.35},
	{"GL", "NA", 66.00, -51.50},
	{"GM", "AF", 13.44, -15.31},
	{"GN", "AF", 9.95, -9.70},
	{"GP", "NA", 16.20, -61.55},
	{"GQ", "AF", 1.65, 10.27},
	{"GR", "EU", 39.07, 21.82},
	{"GS", "AN", -54.43, -36.59},
	{"GT", "NA", 15.78, -90.23},
	{"GU", "OC", 13.44, 144.79},
	{"GW", "AF", 11.80, -15.18},
	{"GY", "SA", 4.86, -58.93},
	{"HK", "AS", 22.32, 114.17},
	{"HM", "AN", -53.08, 73.50},
	{"HN", "NA", 15.20, -86.24},
	{"HR", "EU", 45.10, 15.20},
	{"HT", "NA", 18.97, -72.29},
	{"HU", "EU", 47.16, 19.50},
	{"ID", "AS", -4.00, 112.00},
	{"IE", "EU", 53.41, -8.24},
	{"IL", "AS", 31.60, 34.90},
	{"IM", "EU", 54.24, -4.55},
	{"IN", "AS", 22.00, 79.00},
	{"IO", "AS", -7.31, 72.42},
	{"IQ", "AS", 33.22, 43.68},
	{"IR", "AS", 32.43, 53.69},
	{"IS", "EU", 64.96, -19.02},
	{"IT", "EU", 42.80, 12.57},
	{"JE", "EU", 49.21, -2.13},
	{"JM", "NA", 18.11, -77.30},
	{"JO", "AS", 31.24, 36.51},
	{"JP", "AS", 36.20, 138.25},
	{"KE", "AF", -0.02, 37.91},
	{"KG", "AS", 41.20, 74.77},
	{"KH", "AS", 12.57, 104.99},
	{"KI", "OC", 1.45, 173.03},
	{"KM", "AF", -11.88, 43.87},
	{"KN", "NA", 17.36, -62.78},
	{"KP", "AS", 40.34, 127.51},
	{"KR", "AS", 36.30, 127.80},
	{"KW", "AS", 29.31, 47.48},
	{"KY", "NA", 19.31, -81.25},
	{"KZ", "AS", 48.02, 66.92},
	{"LA", "AS", 19.86, 102.50},
	{"LB", "AS", 33.85, 35.86},
	{"LC", "NA", 13.91, -60.98},
	{"LI", "EU", 47.17, 9.56},
	{"LK", "AS", 7.87, 80.77},
	{"LR", "AF", 6.43, -9.43},
	{"LS", "AF", -29.61, 28.23},
	{"LT", "EU", 55.17, 23.88},
	{"LU", "EU", 49.82, 6.13},
	{"LV", "EU", 56.88, 24.60},
	{"LY", "AF", 31.80, 15.50},
	{"MA", "AF", 31.79, -7.09},
	{"MC", "EU", 43.74, 7.42},
	{"MD", "EU", 47.41, 28.37},
	{"ME", "EU", 42.71, 19.37},
	{"MF", "NA", 18.08, -63.06},
	{"MG", "AF", -18.77, 46.87},
	{"MH", "OC", 7.13, 171.18},
	{"MK", "EU", 41.61, 21.75},
	{"ML", "AF", 14.50, -6.00},
	{"MM", "AS", 21.00, 96.00},
	{"MN", "AS", 46.86, 103.85},
	{"MO", "AS", 22.19, 113.55},
	{"MP", "OC", 15.18, 145.75},
	{"MQ", "NA", 14.64, -61.02},
	{"MR", "AF", 18.50, -12.50},
	{"MS", "NA", 16.74, -62.19},
	{"MT", "EU", 35.92, 14.41},
	{"MU", "AF", -20.28, 57.55},
	{"MV", "AS", 3.20, 73.22},
	{"MW", "AF", -13.25, 34.30},
	{"MX", "NA", 21.50, -101.00},
	{"MY", "AS", 3.80, 104.50},
	{"MZ", "AF", -18.67, 35.53},
	{"NA", "AF", -22.00, 17.10},
	{"NC", "OC", -21.30, 165.50},
	{"NE", "AF", 14.50, 7.00},
	{"NF", "OC", -29.04, 167.95},
	{"NG", "AF", 9.08, 8.00},
	{"NI", "NA", 12.87, -85.21},
	{"NL", "EU", 52.13, 5.29},
	{"NO", "EU", 60.90, 9.50},
	{"NP", "AS", 28.39, 84.12},
	{"NR", "OC", -0.52, 166.93},
	{"NU", "OC", -19.05, -169.87},
	{"NZ", "OC", -40.00, 174.50},
	{"OM", "AS", 23.00, 57.60},
	{"PA", "NA", 8.54, -80.78},
	{"PE", "SA", -10.50, -76.00},
	{"PF", "OC", -17.68, -149.41},
	{"PG", "OC", -6.31, 145.50},
	{"PH", "AS", 12.88, 121.77},
	{"PK", "AS", 30.38, 70.50},
	{"PL", "EU", 51.92, 19.15},
	{"PM", "NA", 46.89, -56.32},
	{"PN", "OC", -25.07, -130.10},
	{"PR", "NA", 18.22, -66.45},
	{"PS", "AS", 31.95, 35.23},
	{"PT", "EU", 39.60, -8.22},
	{"PW", "OC", 7.51, 134.58},
	{"PY", "SA", -24.50, -57.00},
	{"QA", "AS", 25.35, 51.18},
	{"RE", "AF", -21.12, 55.54},
	{"RO", "EU", 45.94, 24.97},
	{"RS", "EU", 44.02, 21.01},
	{"RU", "EU", 56.00, 53.00},
	{"RW", "AF", -1.94, 29.87},
	{"SA", "AS", 23.89, 45.08},
	{"SB", "OC", -9.62, 160.16},
	{"SC", "AF", -4.68, 55.49},
	{"SD", "AF", 14.50, 32.50},
	{"SE", "EU", 58.90, 15.40},
	{"SG", "AS", 1.35, 103.82},
	{"SH", "AF", -15.96, -5.71},
	{"SI", "EU", 46.15, 14.99},
	{"SJ", "EU", 78.22, 15.65},
	{"SK", "EU", 48.67, 19.70},
	{"SL", "AF", 8.46, -11.78},
	{"SM", "EU", 43.94, 12.46},
	{"SN", "AF", 14.50, -14.45},
	{"SO", "AF", 4.50, 45.50},
	{"SR", "SA", 5.50, -55.50},
	{"SS", "AF", 7.31, 30.31},
	{"ST", "AF", 0.19, 6.61},
	{"SV", "NA", 13.79, -88.90},
	{"SX", "NA", 18.04, -63.06},
	{"SY", "AS", 34.80, 38.00},
	{"SZ", "AF", -26.52, 31.47},
	{"TC", "NA", 21.69, -71.80},
	{"TD", "AF", 12.00, 17.50},
	{"TF", "AN", -49.28, 69.35},
	{"TG", "AF", 8.62, 0.82},
	{"TH", "AS", 15.00, 101.00},
	{"TJ", "AS", 38.86, 71.28},
	{"TK", "OC", -9.20, -171.85},
	{"TL", "OC", -8.87, 125.73},
	{"TM", "AS", 38.97, 59.56},
	{"TN", "AF", 35.50, 9.80},
	{"TO", "OC", -21.18, -175.20},
	{"TR", "EU", 38.96, 35.24},
	{"TT", "NA", 10.50, -61.30},
	{"TV", "OC", -8.52, 179.20},
	{"TW", "AS", 23.70, 120.96},
	{"TZ", "AF", -6.37, 34.89},
	{"UA", "EU", 48.90, 31.17},
	{"UG", "AF", 1.37, 32.29},
	{"UM", "OC", 19.30, 166.63},
	{"US", "NA", 39.83, -98.58},
	{"UY", "SA", -33.50, -56.00},
	{"UZ", "AS", 41.00, 65.50},
	{"VA", "EU", 41.90, 12.45},
	{"VC", "NA", 13.25, -61.20},
	{"VE", "SA", 9.00, -67.00},
	{"VG", "NA", 18.42, -64.62},
	{"VI", "NA", 18.34, -64.90},
	{"VN", "AS", 16.00, 106.50},
	{"VU", "OC", -16.50, 168.00},
	{"WF", "OC", -13.77, -177.16},
	{"WS", "OC", -13.76, -172.10},
	{"XK", "EU", 42.60, 20.90},
	{"YE", "AS", 15.00, 45.50},
	{"YT", "AF", -12.83, 45.17},
	{"ZA", "AF", -28.00, 26.50},
	{"ZM", "AF", -13.80, 28.30},
	{"ZW", "AF", -19.02, 29.15},
}

// countryAt returns the row of a code in the country table, or -1.
func countryAt(code string) int {
	i, ok := slices.BinarySearchFunc(countries[:], code, func(c country, code string) int {
		return strings.Compare(c.code, code)
	})
	if !ok {
		return -1
	}
	return i
}

// place returns what a country's code alone tells about an address.
func (c country) place() Place {
	return Place{Country: c.code, Continent: c.continent, Point: At(c.lat, c.lon)}
}

// isContinent reports whether a code is one of the seven continents'.
func isContinent(code string) bool {
	switch code {
	case "AF", "AN", "AS", "EU", "NA", "OC", "SA":
		return true
	default:
		return false
	}
}

// Continent returns the continent of a country as Route 53's geolocation routing has
// it: one of AF AN AS EU NA OC SA, or "" for a code that is no country's. Codes are
// ISO 3166-1 alpha-2 in capitals, and XK.
func Continent(country string) string {
	if i := countryAt(country); i >= 0 {
		return countries[i].continent
	}
	return ""
}

// Country returns the place that stands for a country when nothing more precise is
// known: roughly the middle of its land or of its people. It is false for a code that
// is no country's, which makes it a test of a code too.
func Country(code string) (Point, bool) {
	if i := countryAt(code); i >= 0 {
		return At(countries[i].lat, countries[i].lon), true
	}
	return Point{}, false
}
