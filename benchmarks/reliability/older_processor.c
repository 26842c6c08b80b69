/* An x86 processor without AVX-512, VNNI and AMX, at the speed of this one: CPUID is masked for the process.

   cc -O2 -shared -fPIC older_processor.c -o older.so && LD_PRELOAD=./older.so python ...

   Needs Linux and a processor that can fault on CPUID (`cpuid_fault` in /proc/cpuinfo; Intel since 2012). /proc/cpuinfo
   itself is not masked. The kernels that run are those for AVX2, so labels and probabilities are those of such a
   processor; times are those of this processor in its AVX2 kernels. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012

static void answer_cpuid(int itself) { syscall(SYS_arch_prctl, ARCH_SET_CPUID, itself); }

static void on_fault(int number, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const unsigned char *at = (const unsigned char *)registers[REG_RIP];
  (void)info;
  if (at[0] != 0x0f || at[1] != 0xa2) { /* no CPUID: a real fault, which happens again */
    signal(number, SIG_DFL);
    return;
  }
  unsigned eax = registers[REG_RAX], ecx = registers[REG_RCX], ebx, edx, leaf = eax, part = ecx;
  answer_cpuid(1);
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  answer_cpuid(0);
  if (leaf == 7 && part == 0) {
    eax = 0; /* no further parts: AVX-VNNI stands in one */
    ebx &= ~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31); /* AVX-512 */
    ecx &= ~(1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14);                                    /* and VNNI */
    edx &= ~(1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25);               /* and AMX */
  } else if (leaf == 7) {
    eax = ebx = ecx = edx = 0;
  }
  registers[REG_RAX] = eax, registers[REG_RBX] = ebx, registers[REG_RCX] = ecx, registers[REG_RDX] = edx;
  registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, 0);
  answer_cpuid(0);
}
