/*
 * The guest's last process: deposits pages at run time, and goes on to the next kernel.
 * With an argument it is another: "agent FILE" reads every page of a dump, mapped as
 * makedumpfile maps /proc/vmcore, and prints how many bytes it has read.
 *
 * It reads one command a line from the report channel (file descriptor 3) and answers
 * with lines, the last of which is "ok" or "error <what>: <why>". All decisions are the
 * host's: here are only the system calls.
 *
 *   pages COUNT STEP   lock COUNT single pages, STEP - 1 pages apart: "run PFN 1" each
 *   huge COUNT         lock COUNT huge pages of 2 MiB: "run PFN 512" each
 *   preserve COUNT     COUNT pages of a memfd that the next kernel is to get by a live
 *                      update (kernels with LIVEUPDATE): "run PFN 1" each
 *   pool COUNT         COUNT pages out of the kernel's own pool (the series "Introduce
 *                      persistent memory pool" and /proc/pmpool): "run PFN 1" each
 *   returned           the memfd that the kernel before has preserved: "run PFN 1" each
 *   held               look again where the deposits lie: the same lines, or an error
 *   buffer BYTES       lock a buffer: "run PFN COUNT" in the order of its addresses
 *   save AT BYTES PATH write that part of the buffer to a file
 *   run COMMAND        let busybox sh run the rest of the line: "status N"
 *   load ENTRY COUNT   kexec_load(2); COUNT lines "AT BYTES ADDR SIZE" follow
 *   go                 say "mark going", wait for a byte, start the loaded kernel
 *   crash              the same, by a crash of this kernel
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE_BYTES 4096UL
#define HUGE_BYTES (2UL << 20)
#define HUGE_PAGES (HUGE_BYTES / PAGE_BYTES)
#define MAX_DEPOSITS 4096
#define MAX_SEGMENTS 16

/* pagemap(5): bit 63 says present, bits 0 to 54 are the page frame number. */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_PFN ((1ULL << 55) - 1)

/* linux/liveupdate.h of 7.3, which this machine's headers may not have. */
#define LIVEUPDATE "/dev/liveupdate"
#define CREATE_SESSION _IO(0xBA, 0x00)
#define RETRIEVE_SESSION _IO(0xBA, 0x01)
#define PRESERVE_FD _IO(0xBA, 0x40)
#define RETRIEVE_FD _IO(0xBA, 0x41)
#define TOKEN 1

/* Writing takes pages, reading shows what this kernel has taken, as we print it. */
#define POOL "/proc/pmpool"

struct session {
	uint32_t size;
	int32_t fd;
	char name[64];
};

struct kept_fd {
	uint32_t size;
	int32_t fd;
	uint64_t token;
};

struct deposit {
	unsigned char *at;
	unsigned long nr_pages;
	uint64_t pfn;
};

static FILE *in, *out;
static struct deposit deposits[MAX_DEPOSITS];
static unsigned int nr_deposits;
static unsigned long nr_pool;
static unsigned char *buffer;
static unsigned long buffer_bytes;

static int failed(const char *what)
{
	fprintf(out, "error %s: %s\n", what, strerror(errno));
	return -1;
}

static int refused(const char *what)
{
	fprintf(out, "error %s\n", what);
	return -1;
}

static uint64_t pfn_of(const void *at)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), (uintptr_t)at / PAGE_BYTES * sizeof(entry))
	    != sizeof(entry))
		entry = 0;
	close(fd);
	return entry & PAGEMAP_PRESENT ? entry & PAGEMAP_PFN : 0;
}

static void fill(unsigned char *page)
{
	char words[32];
	unsigned long at;
	int length = snprintf(words, sizeof(words), "deposit %016" PRIx64, pfn_of(page));

	for (at = 0; at < PAGE_BYTES; at++)
		page[at] = words[at % length];
}

/* Lock the pages, fill them, and remember where they lie. */
static int deposit(unsigned char *at, unsigned long nr_pages)
{
	struct deposit *one = &deposits[nr_deposits];
	unsigned long n;

	if (nr_deposits == MAX_DEPOSITS)
		return refused("too many deposits");
	if (mlock(at, nr_pages * PAGE_BYTES))
		return failed("mlock");
	for (n = 0; n < nr_pages; n++)
		fill(at + n * PAGE_BYTES);
	*one = (struct deposit){ .at = at, .nr_pages = nr_pages, .pfn = pfn_of(at) };
	if (!one->pfn)
		return refused("pagemap shows no frame");
	nr_deposits++;
	fprintf(out, "run %" PRIu64 " %lu\n", one->pfn, nr_pages);
	return 0;
}

/* All pages between are touched first, so that the deposits lie apart, then freed. */
static int pages(unsigned long count, unsigned long step)
{
	unsigned long n, bytes = count * step * PAGE_BYTES;
	unsigned char *area;

	if (!count || !step)
		return refused("pages: nothing");
	area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return failed("mmap");
	madvise(area, bytes, MADV_NOHUGEPAGE);
	for (n = 0; n < count * step; n++)
		area[n * PAGE_BYTES] = 1;
	for (n = 0; n < count; n++)
		if (deposit(area + n * step * PAGE_BYTES, 1))
			return -1;
	for (n = 0; n < count && step > 1; n++)
		munmap(area + (n * step + 1) * PAGE_BYTES, (step - 1) * PAGE_BYTES);
	return 0;
}

static int write_number(const char *path, unsigned long number)
{
	FILE *file = fopen(path, "w");
	int bad;

	if (!file)
		return failed(path);
	bad = fprintf(file, "%lu\n", number) < 0;
	return fclose(file) || bad ? failed(path) : 0;
}

static int huge(unsigned long count)
{
	static unsigned long nr_huge;
	unsigned long n;

	nr_huge += count;
	if (write_number("/proc/sys/vm/nr_hugepages", nr_huge))
		return -1;
	for (n = 0; n < count; n++) {
		unsigned char *at = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

		if (at == MAP_FAILED)
			return failed("mmap of a huge page");
		if (deposit(at, HUGE_PAGES))
			return -1;
	}
	return 0;
}

static int show_pool(unsigned long after)
{
	char line[64];
	unsigned long n = 0;
	FILE *file = fopen(POOL, "r");

	if (!file)
		return failed(POOL);
	while (fgets(line, sizeof(line), file))
		if (n++ >= after)
			fputs(line, out);
	fclose(file);
	return 0;
}

static int pool(unsigned long count)
{
	unsigned long before = nr_pool;

	if (write_number(POOL, count))
		return -1;
	nr_pool += count;
	return show_pool(before);
}

/* The session lives as long as this process, which is the last one. */
static int session(unsigned long command)
{
	struct session one = { .size = sizeof(one), .fd = -1, .name = "e820pool" };
	int fd = open(LIVEUPDATE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return failed(LIVEUPDATE);
	if (ioctl(fd, command, &one))
		return failed("session of a live update");
	return one.fd;
}

static int preserve(unsigned long count)
{
	struct kept_fd kept = { .size = sizeof(kept), .token = TOKEN };
	unsigned char *at;
	unsigned long n;
	int of = session(CREATE_SESSION);

	if (of < 0)
		return -1;
	kept.fd = syscall(SYS_memfd_create, "deposits", 0);
	if (kept.fd < 0 || ftruncate(kept.fd, count * PAGE_BYTES))
		return failed("memfd");
	at = mmap(NULL, count * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, kept.fd, 0);
	if (at == MAP_FAILED)
		return failed("mmap of the memfd");
	for (n = 0; n < count; n++)
		at[n * PAGE_BYTES] = 1;
	/* To be preserved, pages leave the scratch areas: only now they lie where they stay. */
	if (ioctl(of, PRESERVE_FD, &kept))
		return failed("preserving the memfd");
	for (n = 0; n < count; n++)
		if (deposit(at + n * PAGE_BYTES, 1))
			return -1;
	return 0;
}

static int returned(void)
{
	struct kept_fd kept = { .size = sizeof(kept), .fd = -1, .token = TOKEN };
	volatile unsigned char *at;
	off_t bytes, n;
	int of = session(RETRIEVE_SESSION);

	if (of < 0)
		return -1;
	if (ioctl(of, RETRIEVE_FD, &kept))
		return failed("retrieving the memfd");
	bytes = lseek(kept.fd, 0, SEEK_END);
	at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, kept.fd, 0);
	if (at == MAP_FAILED)
		return failed("mmap of the memfd");
	for (n = 0; n < bytes; n += PAGE_BYTES) {
		(void)at[n];
		fprintf(out, "run %" PRIu64 " 1\n", pfn_of((const void *)(at + n)));
	}
	return 0;
}

/* A locked page may be migrated all the same: whoever relies on it looks again. */
static int held(void)
{
	unsigned int n;
	unsigned long page;

	for (n = 0; n < nr_deposits; n++) {
		struct deposit *one = &deposits[n];

		for (page = 0; page < one->nr_pages; page++)
			if (pfn_of(one->at + page * PAGE_BYTES) != one->pfn + page)
				return refused("a deposited page has moved");
		fprintf(out, "run %" PRIu64 " %lu\n", one->pfn, one->nr_pages);
	}
	return nr_pool ? show_pool(0) : 0;
}

static int take_buffer(unsigned long bytes)
{
	uint64_t first = 0, pfn;
	unsigned long at, count = 0;

	if (buffer)
		munmap(buffer, buffer_bytes);
	buffer_bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	buffer = mmap(NULL, buffer_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED) {
		buffer = NULL;
		return failed("mmap of the buffer");
	}
	/* The zero page is shared: every page is written before its frame is asked for. */
	for (at = 0; at < buffer_bytes; at += PAGE_BYTES)
		buffer[at] = 1;
	if (mlock(buffer, buffer_bytes))
		return failed("mlock of the buffer");
	for (at = 0; at < buffer_bytes; at += PAGE_BYTES) {
		pfn = pfn_of(buffer + at);
		if (count && pfn == first + count) {
			count++;
			continue;
		}
		if (count)
			fprintf(out, "run %" PRIu64 " %lu\n", first, count);
		first = pfn;
		count = 1;
	}
	fprintf(out, "run %" PRIu64 " %lu\n", first, count);
	return 0;
}

static int in_buffer(unsigned long at, unsigned long bytes)
{
	return at <= buffer_bytes && bytes <= buffer_bytes - at;
}

static int save(unsigned long at, unsigned long bytes, const char *path)
{
	FILE *file;
	int bad;

	if (!in_buffer(at, bytes))
		return refused("save: not in the buffer");
	file = fopen(path, "w");
	if (!file)
		return failed(path);
	bad = fwrite(buffer + at, 1, bytes, file) != bytes;
	return fclose(file) || bad ? failed(path) : 0;
}

static int run(const char *command)
{
	int status = 0;
	pid_t child;

	fflush(out);
	child = fork();
	if (child < 0)
		return failed("fork");
	if (!child) {
		execl("/bin/busybox", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (waitpid(child, &status, 0) < 0)
		return failed("waitpid");
	fprintf(out, "status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	return 0;
}

static int load(unsigned long entry, unsigned long count)
{
	struct kexec_segment segments[MAX_SEGMENTS];
	unsigned long at, bytes, addr, size, n;
	char line[128];

	if (count > MAX_SEGMENTS)
		return refused("load: too many segments");
	for (n = 0; n < count; n++) {
		if (!fgets(line, sizeof(line), in) ||
		    sscanf(line, "%lu %lu %lu %lu", &at, &bytes, &addr, &size) != 4)
			return refused("load: want AT BYTES ADDR SIZE");
		if (!in_buffer(at, bytes))
			return refused("load: not in the buffer");
		segments[n] = (struct kexec_segment){
			.buf = buffer + at,
			.bufsz = bytes,
			.mem = (void *)addr,
			.memsz = size,
		};
	}
	if (syscall(SYS_kexec_load, entry, count, segments, KEXEC_ARCH_DEFAULT))
		return failed("kexec_load");
	return 0;
}

static int wait_for_byte(void)
{
	fprintf(out, "mark going\n");
	fflush(out);
	return fgetc(in) == EOF ? failed("read") : 0;
}

static int crash(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return failed("/proc/sysrq-trigger");
	if (wait_for_byte())
		return -1;
	if (write(fd, "c", 1) != 1)
		return failed("/proc/sysrq-trigger");
	return refused("the kernel did not crash");
}

static int go(void)
{
	if (wait_for_byte())
		return -1;
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	return failed("reboot");
}

static int obey(char *line)
{
	unsigned long one, two;
	int after = 0;

	if (sscanf(line, "pages %lu %lu", &one, &two) == 2)
		return pages(one, two);
	if (sscanf(line, "huge %lu", &one) == 1)
		return huge(one);
	if (sscanf(line, "preserve %lu", &one) == 1)
		return preserve(one);
	if (sscanf(line, "pool %lu", &one) == 1)
		return pool(one);
	if (!strcmp(line, "returned"))
		return returned();
	if (!strcmp(line, "held"))
		return held();
	if (sscanf(line, "buffer %lu", &one) == 1)
		return take_buffer(one);
	if (sscanf(line, "save %lu %lu %n", &one, &two, &after) == 2 && after)
		return save(one, two, line + after);
	if (!strncmp(line, "run ", 4))
		return run(line + 4);
	if (sscanf(line, "load %lu %lu", &one, &two) == 2)
		return load(one, two);
	if (!strcmp(line, "go"))
		return go();
	if (!strcmp(line, "crash"))
		return crash();
	return refused("no such command");
}

/* read(2) maps and unmaps each page in the kernel: minutes where this takes seconds. */
static int read_dump(const char *path)
{
	const off_t step = 4L << 20;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	volatile unsigned char sum = 0;
	off_t at, bytes, end;
	long n, pages;

	if (fd < 0 || (end = lseek(fd, 0, SEEK_END)) < 0)
		return 1;
	for (at = 0; at < end; at += step) {
		const unsigned char *part;

		bytes = end - at < step ? end - at : step;
		part = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, at);
		if (part == MAP_FAILED)
			return 1;
		pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;
		for (n = 0; n < pages; n++)
			sum += part[n * PAGE_BYTES];
		munmap((void *)part, bytes);
	}
	printf("%lld\n", (long long)end);
	return 0;
}

int main(int argc, char **argv)
{
	char line[4096];

	if (argc > 1)
		return read_dump(argv[1]);
	in = fdopen(3, "r");
	out = fdopen(dup(3), "w");
	if (!in || !out)
		return 1;
	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = 0;
		if (!obey(line))
			fprintf(out, "ok\n");
		fflush(out);
	}
	return 1;
}
