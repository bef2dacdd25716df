/* Reads pictures of 784 bytes from standard input until it ends, and writes the logits of each. */
#include <stdio.h>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif
#include "@NAME@.h"

int main(void)
{
    uint8_t pixels[@GUARD@_PIXELS];
    @TYPE@ logits[@GUARD@_CLASSES];
#ifdef _WIN32 /* which takes them for text */
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    while (fread(pixels, sizeof pixels, 1, stdin) == 1) {
        @NAME@_read(pixels, logits);
        fwrite(logits, sizeof logits, 1, stdout);
    }
    return 0;
}
