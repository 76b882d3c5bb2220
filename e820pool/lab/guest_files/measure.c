/*
 * Programs of a guest whose page allocator is measured.
 *
 *   measure churn MIB ROUNDS   areas of anonymous memory, MIB of them at most, come and
 *                              go; prints "ready" and holds a third until it is killed
 *   measure deposit PAGES CALLS PERCENT
 *                              deposit PAGES a call as hv_call_deposit_pages() does,
 *                              at most CALLS times, until so much of the free memory
 *                              is deposited; prints what was free before, the blocks
 *                              of each call, "PFN:ORDER" in their order, and the runs
 *                              of free blocks of 4 MiB before, "PFN:BLOCKS"
 *
 * User space gets unmovable blocks of an order of its choice as rings of packet
 * sockets (packet(7)): alloc_one_pg_vec_page() in net/packet/af_packet.c asks
 * __get_free_pages() for each block, and where that has none vzalloc() for single
 * pages. So a block counts only where its frames follow each other. Sockets are opened
 * before the first look at what is free: a deposit then allocates its block and 16
 * bytes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE_BYTES 4096UL
#define PAGE_SHIFT 12
#define MIB (1UL << 20)
#define MAX_ORDER 10
#define MAX_BLOCKS 400000
#define MAX_SOCKETS 20000
#define MAX_AREAS 512
#define MAX_RUNS 8192

/* pagemap(5): bit 63 says present, bits 0 to 54 are the page frame number. */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_PFN ((1ULL << 55) - 1)

/* /proc/kpageflags, include/uapi/linux/kernel-page-flags.h: a page of a free block. */
#define KPF_BUDDY (1ULL << 10)

static int sockets[MAX_SOCKETS];
static unsigned int nr_sockets, used_rings;
/* PFN, order in the low 4 bits; 0 ends a call. */
static uint64_t blocks[MAX_BLOCKS];
static unsigned int nr_blocks;
static int pagemap;
static const char *const files[] = { "buddyinfo", "pagetypeinfo", "zoneinfo" };
static char texts[3][1 << 17];
static struct { uint64_t pfn; unsigned int blocks; } runs[MAX_RUNS];
static unsigned int nr_runs;

static int failed(const char *what)
{
	fprintf(stderr, "error %s: %s\n", what, strerror(errno));
	return 1;
}

static uint64_t draw(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int set_ring(int fd, int which, unsigned int order, unsigned int count)
{
	struct tpacket_req req = {
		.tp_block_size = PAGE_BYTES << order, .tp_block_nr = count,
		.tp_frame_size = PAGE_BYTES << order, .tp_frame_nr = count,
	};

	return setsockopt(fd, SOL_PACKET, which, &req, sizeof(req));
}

/* The first frame of the nr_pages at this place of the mapping; 0 if they do not follow. */
static uint64_t frames_at(const unsigned char *at, unsigned long nr_pages)
{
	static uint64_t entries[1UL << MAX_ORDER];
	size_t size = nr_pages * sizeof(*entries);
	unsigned long n;

	if (pread(pagemap, entries, size, (uintptr_t)at / PAGE_BYTES * 8) != (ssize_t)size)
		return 0;
	for (n = 0; n < nr_pages; n++)
		if (!(entries[n] & PAGEMAP_PRESENT) ||
		    (entries[n] & PAGEMAP_PFN) != (entries[0] & PAGEMAP_PFN) + n)
			return 0;
	return entries[0] & PAGEMAP_PFN;
}

/* A socket has two rings, one after the other in its mapping. */
static uint64_t block_of(unsigned int order)
{
	static size_t first_bytes;
	int fd = sockets[used_rings / 2], is_second = used_rings % 2;
	int which = is_second ? PACKET_TX_RING : PACKET_RX_RING;
	size_t before = is_second ? first_bytes : 0, bytes = PAGE_BYTES << order;
	unsigned char *at;
	uint64_t pfn;

	if (set_ring(fd, which, order, 1))
		return 0;
	at = mmap(NULL, before + bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return 0;
	pfn = frames_at(at + before, 1UL << order);
	munmap(at, before + bytes);
	if (!pfn) {
		set_ring(fd, which, 0, 0);
		return 0;
	}
	first_bytes = bytes;
	used_rings++;
	return pfn;
}

static int one_call(unsigned long rest)
{
	while (rest) {
		int order = 63 - __builtin_clzl(rest);
		uint64_t pfn;

		if (used_rings >= 2 * nr_sockets || nr_blocks >= MAX_BLOCKS - 2)
			return -1;
		while (!(pfn = block_of(order)))
			if (!order--)
				return -1;
		blocks[nr_blocks++] = pfn << 4 | order;
		rest -= 1UL << order;
	}
	blocks[nr_blocks++] = 0;
	return 0;
}

static unsigned long free_pages_now(void)
{
	static char text[512];
	unsigned long kib = 0;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	char *at;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && (at = strstr(text, "MemFree:")))
		kib = strtoul(at + 8, NULL, 10);
	close(fd);
	return kib / 4;
}

static void look(void)
{
	char path[64];
	unsigned int n;

	for (n = 0; n < 3; n++) {
		size_t have = 0;
		ssize_t got;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s", files[n]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		while (fd >= 0 && (got = read(fd, texts[n] + have, sizeof(texts[n]) - have - 1)) > 0)
			have += got;
		close(fd);
	}
}

/* buddyinfo does not say where free blocks lie. */
static void look_at_runs(void)
{
	static uint64_t flags[1UL << MAX_ORDER];
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC), follows = 0;
	uint64_t pfn;
	size_t n;

	for (pfn = 0; pread(fd, flags, sizeof(flags), pfn * 8) == (ssize_t)sizeof(flags);
	     pfn += 1UL << MAX_ORDER) {
		for (n = 0; n < 1UL << MAX_ORDER && flags[n] & KPF_BUDDY; n++)
			;
		if (n < 1UL << MAX_ORDER) {
			follows = 0;
		} else if (follows) {
			runs[nr_runs - 1].blocks++;
		} else if (nr_runs < MAX_RUNS) {
			runs[nr_runs].pfn = pfn;
			runs[nr_runs++].blocks = follows = 1;
		}
	}
	close(fd);
}

static int deposit(unsigned long pages, unsigned long calls, unsigned long percent)
{
	struct rlimit limit = { 2 * MAX_SOCKETS, 2 * MAX_SOCKETS };
	unsigned long free_pages, done = 0, target, wanted, n;
	const char *end = "calls";

	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0 || setrlimit(RLIMIT_NOFILE, &limit))
		return failed("pagemap or the limit of files");
	memset(blocks, 1, sizeof(blocks));
	memset(texts, 0, sizeof(texts));
	memset(runs, 0, sizeof(runs));
	target = free_pages_now() / 100 * percent;
	/* As many blocks as a call has bits, and as many again where large ones fail. */
	wanted = target / pages < calls ? target / pages : calls;
	wanted = (wanted + 1) * __builtin_popcountl(pages) + 4000;
	while (nr_sockets < MAX_SOCKETS && 2 * nr_sockets < wanted) {
		sockets[nr_sockets] = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
		if (sockets[nr_sockets] < 0)
			return failed("socket");
		nr_sockets++;
	}
	free_pages = free_pages_now();
	look();
	look_at_runs();
	for (n = 0; n < calls; n++) {
		if (done + pages > target) {
			end = "share";
			break;
		}
		if (one_call(pages)) {
			end = used_rings >= 2 * nr_sockets ? "sockets" : "memory";
			break;
		}
		done += pages;
	}
	printf("free %lu left %lu end %s\n", free_pages, free_pages_now(), end);
	for (n = 0; n < nr_blocks; n++) {
		if (blocks[n])
			printf("%" PRIx64 ":%d ", blocks[n] >> 4, (int)(blocks[n] & 15));
		else
			printf("\n");
	}
	for (n = 0; n < 3; n++)
		printf("\nfile %s\n%s", files[n], texts[n]);
	printf("\nfile runs\n");
	for (n = 0; n < nr_runs; n++)
		printf("%" PRIx64 ":%u\n", runs[n].pfn, runs[n].blocks);
	return fflush(stdout) ? failed("output") : 0;
}

static struct { unsigned char *at; size_t bytes; } areas[MAX_AREAS];
static unsigned int nr_areas;
static size_t held;

static void drop_any(void)
{
	unsigned int which = draw() % nr_areas;

	munmap(areas[which].at, areas[which].bytes);
	held -= areas[which].bytes;
	areas[which] = areas[--nr_areas];
}

static int add(size_t bytes)
{
	unsigned char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t n;

	if (at == MAP_FAILED)
		return -1;
	/* Guests are backed by huge pages, programs mostly not. */
	madvise(at, bytes, draw() % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (n = 0; n < bytes; n += PAGE_BYTES)
		at[n] = 1;
	areas[nr_areas].at = at;
	areas[nr_areas++].bytes = bytes;
	held += bytes;
	return 0;
}

static int churn(unsigned long mib, unsigned long rounds)
{
	size_t most = mib * MIB;

	while (rounds--) {
		size_t bytes = (1 + draw() % (mib / 16 + 1)) * MIB;

		while (nr_areas && (held + bytes > most || nr_areas == MAX_AREAS))
			drop_any();
		if (add(bytes))
			return failed("mmap");
	}
	while (held > most / 3)
		drop_any();
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	unsigned long numbers[3] = { 0 };
	int n;

	for (n = 2; n < argc && n < 5; n++)
		numbers[n - 2] = strtoul(argv[n], NULL, 10);
	if (argc == 5 && !strcmp(argv[1], "deposit") && numbers[0])
		return deposit(numbers[0], numbers[1], numbers[2]);
	if (argc == 4 && !strcmp(argv[1], "churn"))
		return churn(numbers[0], numbers[1]);
	fprintf(stderr, "error usage\n");
	return 2;
}
