/* Resolves, in one relocatable object of x86-64 and in its place, what needs no linker:
 *
 *   resolve OBJECT
 *
 * A call from one local function to another in the same section has a distance that no
 * linker changes. An assembler would have written it, had both been in one section from
 * the beginning. Other references to local symbols become references to their sections.
 * Nothing needs the names of local symbols then, and strip removes them.
 *
 * Objects of other machines stay as they are. strip.sh runs this. */

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned char *object;
static size_t length;

/* The beginning of `count` entries of `size` bytes. NULL if the file is too short, or they
 * are not where such entries may be. */
static void *within(uint64_t offset, uint64_t count, uint64_t size)
{
    int aligned = size == 1 || offset % 8 == 0;
    int fits = offset <= length && count <= (length - offset) / size;
    return aligned && fits ? object + offset : NULL;
}

static int refuse(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    return 1;
}

/* Whether a section's own symbol and a distance may replace a symbol in it. */
static int replaceable(uint32_t type)
{
    return type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_64;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s OBJECT\n", argv[0]);
        return 2;
    }
    const char *path = argv[1];
    struct stat status;
    int file = open(path, O_RDWR);
    if (file < 0 || fstat(file, &status) != 0) {
        perror(path);
        return 1;
    }
    length = (size_t)status.st_size;
    object = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (object == MAP_FAILED) {
        perror(path);
        return 1;
    }
    Elf64_Ehdr *header = within(0, 1, sizeof *header);
    if (header == NULL || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_type != ET_REL)
        return refuse(path, "wanted a relocatable object of 64 bits");
    if (header->e_machine != EM_X86_64)
        return 0;
    Elf64_Shdr *sections = within(header->e_shoff, header->e_shnum, sizeof *sections);
    if (sections == NULL || header->e_shnum == 0 || header->e_shentsize != sizeof *sections)
        return refuse(path, "its table of sections is damaged");

    Elf64_Shdr *table = NULL;
    for (size_t i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type == SHT_SYMTAB)
            table = &sections[i];
    }
    const uint64_t count = table == NULL ? 0 : table->sh_size / sizeof(Elf64_Sym);
    const Elf64_Sym *symbols = table == NULL ? NULL : within(table->sh_offset, count, sizeof *symbols);
    if (symbols == NULL)
        return refuse(path, "it has no symbols");

    for (size_t i = 0; i < header->e_shnum; i++) {
        Elf64_Shdr *list = &sections[i];
        if (list->sh_type != SHT_RELA || list->sh_info == 0 || list->sh_info >= header->e_shnum)
            continue;
        const Elf64_Shdr *target = &sections[list->sh_info];
        uint64_t entries = list->sh_size / sizeof(Elf64_Rela), kept = 0;
        Elf64_Rela *all = within(list->sh_offset, entries, sizeof *all);
        unsigned char *content = within(target->sh_offset, target->sh_size, 1);
        if (all == NULL || content == NULL || target->sh_type == SHT_NOBITS)
            return refuse(path, "a section of relocations is damaged");
        for (uint64_t j = 0; j < entries; j++) {
            Elf64_Rela one = all[j];
            const uint64_t number = ELF64_R_SYM(one.r_info);
            const uint32_t type = (uint32_t)ELF64_R_TYPE(one.r_info);
            if (number >= count)
                return refuse(path, "a relocation is of a symbol that is not there");
            const Elf64_Sym *symbol = &symbols[number];
            const int kind = ELF64_ST_TYPE(symbol->st_info);
            const uint16_t in = symbol->st_shndx;
            if (number != 0 && replaceable(type) && in > 0 && in < header->e_shnum &&
                ELF64_ST_BIND(symbol->st_info) == STB_LOCAL && kind != STT_TLS &&
                kind != STT_GNU_IFUNC && !(sections[in].sh_flags & (SHF_MERGE | SHF_TLS))) {
                const int64_t to = (int64_t)symbol->st_value + one.r_addend;
                const int64_t distance = to - (int64_t)one.r_offset;
                if (in == list->sh_info && type != R_X86_64_64 && distance == (int32_t)distance) {
                    const int32_t written = (int32_t)distance;
                    if (one.r_offset > target->sh_size ||
                        target->sh_size - one.r_offset < sizeof written)
                        return refuse(path, "a relocation is beyond its section");
                    memcpy(content + one.r_offset, &written, sizeof written);
                    continue;
                }
                /* The symbol of the section, if it has one. */
                for (uint64_t k = 1; kind != STT_SECTION && k < table->sh_info && k < count; k++) {
                    if (ELF64_ST_TYPE(symbols[k].st_info) == STT_SECTION && symbols[k].st_shndx == in) {
                        one.r_info = ELF64_R_INFO(k, type);
                        one.r_addend = to - (int64_t)symbols[k].st_value;
                        break;
                    }
                }
            }
            all[kept++] = one;
        }
        list->sh_size = kept * sizeof *all;
    }
    if (msync(object, length, MS_SYNC) != 0) {
        perror(path);
        return 1;
    }
    return 0;
}
