/* Three libraries that have some of the same code inside: libzstd, zlib and brotli as the system has them, a static
   library of Rust's, and this one. Each is to use its own. */
#include <brotli/decode.h>
#include <requests_futures.h>
#include <zlib.h>
#include <zstd.h>

#include <stdio.h>
#include <string.h>

extern int second_parse(const char *text); /* second.rs; a panic inside of it gives -1 */

int main(int argc, char **argv) {
  static const char text[] = "a text that is long enough to be compressed, compressed, compressed, compressed";
  char packed[256], unpacked[256];
  rf_session *session;
  rf_future *future;
  const rf_response *response;
  size_t size;
  (void)argc;

  size = ZSTD_compress(packed, sizeof packed, text, sizeof text, 3);
  if (ZSTD_isError(size) || ZSTD_decompress(unpacked, sizeof unpacked, packed, size) != sizeof text) return 1;
  if (strcmp(text, unpacked) != 0 || ZSTD_versionNumber() < 10000) return 2;
  if (zlibVersion()[0] != '1' || BrotliDecoderVersion() == 0) return 3;
  if (second_parse("42") != 42 || second_parse("nonsense") != -1) return 4;

  /* Bodies in each coding, by the library's own decoders. */
  if (rf_session_new(NULL, &session) != RF_OK) return 5;
  for (int i = 0; i < 4; i++) {
    static const char *const codings[] = {"gzip", "deflate", "brotli", "zstd"};
    char url[512];
    snprintf(url, sizeof url, "%s/%s", argv[1], codings[i]);
    if (rf_session_get(session, url, NULL, &future) != RF_OK) return 6;
    if (rf_future_result(future, 60000, &response) != RF_OK || rf_response_text(response, NULL) == NULL) {
      fprintf(stderr, "%s: no text\n", url);
      return 7;
    }
    rf_future_free(future);
  }
  rf_session_free(session);
  return 0;
}
