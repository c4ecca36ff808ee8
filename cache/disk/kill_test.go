package disk_test

const childVariable = "MERIDIAN_DISK_CHILD"

func child(string) {}
