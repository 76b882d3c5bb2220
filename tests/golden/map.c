/* golden: 12 entries; addr and size in bytes. */
#include <asm/bootparam.h>

const struct boot_e820_entry e820_map[] = {
	{ .addr = 0x0000000000000000ULL, .size = 0x000000000009fc00ULL, .type = 0x1U }, /* usable */
	{ .addr = 0x000000000009fc00ULL, .size = 0x0000000000060400ULL, .type = 0x2U }, /* reserved */
	{ .addr = 0x0000000000100000ULL, .size = 0x00000000bfe00000ULL, .type = 0x1U }, /* usable */
	{ .addr = 0x00000000bff00000ULL, .size = 0x0000000000040000ULL, .type = 0x3U }, /* ACPI data */
	{ .addr = 0x00000000bff40000ULL, .size = 0x00000000000c0000ULL, .type = 0x4U }, /* ACPI NVS */
	{ .addr = 0x00000000c0000000ULL, .size = 0x0000000000001000ULL, .type = 0x5U }, /* unusable */
	{ .addr = 0x00000000c0001000ULL, .size = 0x0000000000001000ULL, .type = 0x14U }, /* type 20 */
	{ .addr = 0x00000000fec00000ULL, .size = 0x0000000000001000ULL, .type = 0x2U }, /* reserved */
	{ .addr = 0x0000000100000000ULL, .size = 0x0000000300000000ULL, .type = 0x1U }, /* usable */
	{ .addr = 0x0000000400000000ULL, .size = 0x0000000100000000ULL, .type = 0x7U }, /* persistent (type 7) */
	{ .addr = 0x0000000500000000ULL, .size = 0x0000000010000000ULL, .type = 0xcU }, /* persistent (type 12) */
	{ .addr = 0x0000000510000000ULL, .size = 0x0000000010000000ULL, .type = 0xefffffffU }, /* soft reserved */
};

const unsigned int e820_map_entries = sizeof(e820_map) / sizeof(e820_map[0]);
