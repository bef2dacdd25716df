/* Runs the net on a Cortex-M4 (QEMU's mps2-an386): reads the pictures that lie in the board's other memory, writes the
 * logits, the instructions of each picture and the stack that was used to a file of the host (semihosting). */
#include "mnist_net.h"

#define PICTURES ((const uint8_t *)0x21000004)
#define COUNT (*(const uint32_t *)0x21000000)
#define SYSTICK ((volatile uint32_t *)0xE000E010)
#define PER_TICK 40u      /* instructions: 25 MHz, and -icount shift=0 makes one instruction a nanosecond */
#define PAINT 0xA5A5A5A5u /* what the stack holds where nothing has been */

extern uint32_t bss_end[], stack_top[];
static uint8_t picture[MNIST_NET_PIXELS];

static int host(int operation, const void *block)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void send(int file, const void *from, uint32_t length)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)from, length};
    host(5, block);
}

__attribute__((noinline)) static void run(int file)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        int32_t logits[MNIST_NET_CLASSES];
        for (int j = 0; j < MNIST_NET_PIXELS; j++) {
            picture[j] = PICTURES[i * MNIST_NET_PIXELS + (uint32_t)j];
        }
        const uint32_t before = SYSTICK[2];
        mnist_net_read(picture, logits);
        const uint32_t taken = ((before - SYSTICK[2]) & 0xFFFFFF) * PER_TICK;
        send(file, logits, sizeof logits);
        send(file, &taken, sizeof taken);
    }
}

void reset(void)
{
    uint32_t *unused = bss_end, here;
    for (uint32_t *p = bss_end; p < &here - 16; p++) {
        *p = PAINT;
    }
    SYSTICK[1] = 0xFFFFFF; /* it counts down from here, again and again */
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* on, by the clock of the processor */
    const uint32_t name[3] = {(uint32_t)"said.bin", 5, 8}; /* opened as "wb" */
    const int file = host(1, name);
    run(file);
    while (*unused == PAINT) {
        unused++;
    }
    const uint32_t stack = (uint32_t)((uint8_t *)stack_top - (uint8_t *)unused);
    send(file, &stack, sizeof stack);
    host(2, &file);
    host(0x18, (const void *)0x20026); /* ended as it should */
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void *const vectors[] = {stack_top, (void *)reset};
