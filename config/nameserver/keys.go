package nameserver

import (
	"encoding/base64"
	"encoding/hex"
)

// sizes are the octets of each algorithm's digest.
func sizes() map[string]int {
	return map[string]int{"hmac-sha1": 20, "hmac-sha224": 28, "hmac-sha256": 32, "hmac-sha384": 48, "hmac-sha512": 64}
}

func readKeys(o object) []Key {
	c, found := o.Get("keys")
	if !found {
		return nil
	}
	entries, _ := c.Entries()
	list := make([]Key, 0, len(entries))
	lines := make(map[string]int)
	for _, e := range entries {
		k := readKey(e)
		name, ok := KeyName(e.Key())
		switch {
		case !ok:
			e.KeyError("is not the name of a key").Hint("a key is named like a host, such as acme or acme.example.org")
		case lines[name] > 0:
			e.Errorf("the key %s is already in line %d", name, lines[name])
		default:
			k.Name, lines[name] = name, e.KeyLine()
		}
		list = append(list, k)
	}
	return list
}

// KeyName returns the canonical form of the name of a TSIG key, which is a domain name on the wire.
func KeyName(s string) (string, bool) { return domain(s) }

func readKey(c cursor) Key {
	k := Key{Algorithm: "hmac-sha256", Line: c.KeyLine()}
	o := c.Object("algorithm", "secret")
	algorithm, given := o.Get("algorithm")
	if given {
		k.Algorithm, _ = readAlgorithm(algorithm)
	}
	secret, found := o.Need("secret")
	if !found {
		return k
	}
	s, ok := secret.Text()
	if !ok {
		return k
	}
	data, err := base64.StdEncoding.DecodeString(s)
	switch size := sizes()[k.Algorithm]; {
	case err != nil:
		secret.Errorf("is not base64").Hint("tsig-keygen, or openssl rand -base64 32, makes one")
	case len(data) < 8:
		secret.Errorf("a secret of %d bytes can be guessed", len(data)).Hint("tsig-keygen, or openssl rand -base64 32, makes one")
	case len(data) < size:
		secret.Warnf("the secret has %d bytes; RFC 8945 §8 asks for as many as the digest of %s has, %d", len(data), k.Algorithm, size)
	}
	k.Secret = NewSecret(data)
	return k
}

func readAlgorithm(c cursor) (string, bool) {
	if s, ok := c.Scalar(); ok && !c.Secret() && (s == "hmac-md5" || s == "hmac-md5.sig-alg.reg.int") {
		c.Errorf("%s is not safe any more (RFC 8945 §6)", c.Shown()).Hint("use hmac-sha256")
		return "", false
	}
	s, ok := c.Enum("hmac-sha256", "hmac-sha1", "hmac-sha224", "hmac-sha384", "hmac-sha512")
	if ok && s == "hmac-sha1" {
		c.Warnf("hmac-sha1 is only for servers that know nothing better (RFC 8945 §6)").Hint("use hmac-sha256")
	}
	return s, ok
}

// readCookieSecrets reads secrets of 16 octets in hex (RFC 9018 §4.4).
func readCookieSecrets(c cursor) []Secret {
	const octets, most = 16, 8
	items, ok := c.Items()
	if ok && (len(items) == 0 || len(items) > most) {
		c.Errorf("must be 1 to %d secrets", most).Hint("without the key this process makes its own")
	}
	list := make([]Secret, 0, len(items))
	for _, item := range items {
		s, ok := item.Text()
		if !ok {
			continue
		}
		data, err := hex.DecodeString(s)
		if err != nil || len(data) != octets {
			item.Errorf("a secret is %d hexadecimal digits", 2*octets).Hint("openssl rand -hex %d makes one", octets)
		}
		list = append(list, NewSecret(data))
	}
	return list
}
