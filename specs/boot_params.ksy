# Generated from e820pool's own definitions by tools/boot_params_ksy.py.
meta:
  id: boot_params
  title: Linux x86 boot_params, the zero page
  license: MIT
  ks-version: '0.9'
  endian: le
doc: |
  What a boot loader hands to an x86 Linux kernel: 4096 bytes, exported by a running
  kernel as /sys/kernel/boot_params/data. Of e820_table only the first e820_entries
  count. hdr.setup_data is the physical address of the first setup_data node, whose
  type stands here too, for those who have the memory that it points to.
doc-ref: arch/x86/include/uapi/asm/bootparam.h of Linux 6.1 to 7.3
seq:
  - id: screen_info  # 0x0
    type: screen_info
  - id: apm_bios_info  # 0x40
    type: apm_bios_info
  - id: pad2  # 0x54
    -orig-id: _pad2
    size: 4
  - id: tboot_addr  # 0x58
    type: u8
  - id: ist_info  # 0x60
    type: ist_info
  - id: acpi_rsdp_addr  # 0x70
    type: u8
  - id: pad3  # 0x78
    -orig-id: _pad3
    size: 8
  - id: hd0_info  # 0x80
    size: 16
  - id: hd1_info  # 0x90
    size: 16
  - id: sys_desc_table  # 0xa0
    type: sys_desc_table
  - id: olpc_ofw_header  # 0xb0
    type: olpc_ofw_header
  - id: ext_ramdisk_image  # 0xc0
    type: u4
  - id: ext_ramdisk_size  # 0xc4
    type: u4
  - id: ext_cmd_line_ptr  # 0xc8
    type: u4
  - id: pad4  # 0xcc
    -orig-id: _pad4
    size: 112
  - id: cc_blob_address  # 0x13c
    type: u4
  - id: edid_info  # 0x140
    type: edid_info
  - id: efi_info  # 0x1c0
    type: efi_info
  - id: alt_mem_k  # 0x1e0
    type: u4
  - id: scratch  # 0x1e4
    type: u4
  - id: e820_entries  # 0x1e8
    type: u1
  - id: eddbuf_entries  # 0x1e9
    type: u1
  - id: edd_mbr_sig_buf_entries  # 0x1ea
    type: u1
  - id: kbd_status  # 0x1eb
    type: u1
  - id: secure_boot  # 0x1ec
    type: u1
  - id: pad5  # 0x1ed
    -orig-id: _pad5
    size: 2
  - id: sentinel  # 0x1ef
    type: u1
  - id: pad6  # 0x1f0
    -orig-id: _pad6
    size: 1
  - id: hdr  # 0x1f1
    type: setup_header
  - id: pad7  # 0x26c
    -orig-id: _pad7
    size: 36
  - id: edd_mbr_sig_buffer  # 0x290
    type: u4
    repeat: expr
    repeat-expr: 16
  - id: e820_table  # 0x2d0
    type: e820_entry
    repeat: expr
    repeat-expr: 128
  - id: pad8  # 0xcd0
    -orig-id: _pad8
    size: 48
  - id: eddbuf  # 0xd00
    type: edd_info
    repeat: expr
    repeat-expr: 6
  - id: pad9  # 0xeec
    -orig-id: _pad9
    size: 276
types:
  screen_info:
    doc: "struct screen_info (include/uapi/linux/screen_info.h); 64 bytes."
    seq:
      - id: orig_x  # 0x0
        type: u1
      - id: orig_y  # 0x1
        type: u1
      - id: ext_mem_k  # 0x2
        type: u2
      - id: orig_video_page  # 0x4
        type: u2
      - id: orig_video_mode  # 0x6
        type: u1
      - id: orig_video_cols  # 0x7
        type: u1
      - id: flags  # 0x8
        type: u1
      - id: unused2  # 0x9
        type: u1
      - id: orig_video_ega_bx  # 0xa
        type: u2
      - id: unused3  # 0xc
        type: u2
      - id: orig_video_lines  # 0xe
        type: u1
      - id: orig_video_isvga  # 0xf
        -orig-id: orig_video_isVGA
        type: u1
      - id: orig_video_points  # 0x10
        type: u2
      - id: lfb_width  # 0x12
        type: u2
      - id: lfb_height  # 0x14
        type: u2
      - id: lfb_depth  # 0x16
        type: u2
      - id: lfb_base  # 0x18
        type: u4
      - id: lfb_size  # 0x1c
        type: u4
      - id: cl_magic  # 0x20
        type: u2
      - id: cl_offset  # 0x22
        type: u2
      - id: lfb_linelength  # 0x24
        type: u2
      - id: red_size  # 0x26
        type: u1
      - id: red_pos  # 0x27
        type: u1
      - id: green_size  # 0x28
        type: u1
      - id: green_pos  # 0x29
        type: u1
      - id: blue_size  # 0x2a
        type: u1
      - id: blue_pos  # 0x2b
        type: u1
      - id: rsvd_size  # 0x2c
        type: u1
      - id: rsvd_pos  # 0x2d
        type: u1
      - id: vesapm_seg  # 0x2e
        type: u2
      - id: vesapm_off  # 0x30
        type: u2
      - id: pages  # 0x32
        type: u2
      - id: vesa_attributes  # 0x34
        type: u2
      - id: capabilities  # 0x36
        type: u4
      - id: ext_lfb_base  # 0x3a
        type: u4
      - id: reserved  # 0x3e
        -orig-id: _reserved
        size: 2
  apm_bios_info:
    doc: "struct apm_bios_info (include/uapi/linux/apm_bios.h); 20 bytes."
    seq:
      - id: version  # 0x0
        type: u2
      - id: cseg  # 0x2
        type: u2
      - id: offset  # 0x4
        type: u4
      - id: cseg_16  # 0x8
        type: u2
      - id: dseg  # 0xa
        type: u2
      - id: flags  # 0xc
        type: u2
      - id: cseg_len  # 0xe
        type: u2
      - id: cseg_16_len  # 0x10
        type: u2
      - id: dseg_len  # 0x12
        type: u2
  ist_info:
    doc: "struct ist_info (arch/x86/include/uapi/asm/ist.h): SpeedStep; 16 bytes."
    seq:
      - id: signature  # 0x0
        type: u4
      - id: command  # 0x4
        type: u4
      - id: event  # 0x8
        type: u4
      - id: perf_level  # 0xc
        type: u4
  sys_desc_table:
    doc: "struct sys_desc_table: the obsolete MCA table; 16 bytes."
    seq:
      - id: length  # 0x0
        type: u2
      - id: table  # 0x2
        size: 14
  olpc_ofw_header:
    doc: "struct olpc_ofw_header: the OLPC's Open Firmware; 16 bytes."
    seq:
      - id: ofw_magic  # 0x0
        type: u4
      - id: ofw_version  # 0x4
        type: u4
      - id: cif_handler  # 0x8
        type: u4
      - id: irq_desc_table  # 0xc
        type: u4
  edid_info:
    doc: "struct edid_info (include/uapi/video/edid.h): the monitor; 128 bytes."
    seq:
      - id: dummy  # 0x0
        size: 128
  efi_info:
    doc: "struct efi_info: where the EFI system table and memory map lie; 32 bytes."
    seq:
      - id: efi_loader_signature  # 0x0
        type: u4
      - id: efi_systab  # 0x4
        type: u4
      - id: efi_memdesc_size  # 0x8
        type: u4
      - id: efi_memdesc_version  # 0xc
        type: u4
      - id: efi_memmap  # 0x10
        type: u4
      - id: efi_memmap_size  # 0x14
        type: u4
      - id: efi_systab_hi  # 0x18
        type: u4
      - id: efi_memmap_hi  # 0x1c
        type: u4
  setup_header:
    doc: "struct setup_header; 123 bytes, offsets as in the zero page."
    seq:
      - id: setup_sects  # 0x1f1
        type: u1
      - id: root_flags  # 0x1f2
        type: u2
      - id: syssize  # 0x1f4
        type: u4
        doc: since boot protocol 2.04
      - id: ram_size  # 0x1f8
        type: u2
      - id: vid_mode  # 0x1fa
        type: u2
      - id: root_dev  # 0x1fc
        type: u2
      - id: boot_flag  # 0x1fe
        type: u2
      - id: jump  # 0x200
        type: u2
        doc: since boot protocol 2.00
      - id: header  # 0x202
        type: u4
        doc: since boot protocol 2.00
      - id: version  # 0x206
        type: u2
        doc: since boot protocol 2.00
      - id: realmode_swtch  # 0x208
        type: u4
        doc: since boot protocol 2.00
      - id: start_sys_seg  # 0x20c
        type: u2
        doc: since boot protocol 2.00
      - id: kernel_version  # 0x20e
        type: u2
        doc: since boot protocol 2.00
      - id: type_of_loader  # 0x210
        type: u1
        doc: since boot protocol 2.00
      - id: loadflags  # 0x211
        type: u1
        doc: since boot protocol 2.00
      - id: setup_move_size  # 0x212
        type: u2
        doc: since boot protocol 2.00
      - id: code32_start  # 0x214
        type: u4
        doc: since boot protocol 2.00
      - id: ramdisk_image  # 0x218
        type: u4
        doc: since boot protocol 2.00
      - id: ramdisk_size  # 0x21c
        type: u4
        doc: since boot protocol 2.00
      - id: bootsect_kludge  # 0x220
        type: u4
        doc: since boot protocol 2.00
      - id: heap_end_ptr  # 0x224
        type: u2
        doc: since boot protocol 2.01
      - id: ext_loader_ver  # 0x226
        type: u1
        doc: since boot protocol 2.02
      - id: ext_loader_type  # 0x227
        type: u1
        doc: since boot protocol 2.02
      - id: cmd_line_ptr  # 0x228
        type: u4
        doc: since boot protocol 2.02
      - id: initrd_addr_max  # 0x22c
        type: u4
        doc: since boot protocol 2.03
      - id: kernel_alignment  # 0x230
        type: u4
        doc: since boot protocol 2.05
      - id: relocatable_kernel  # 0x234
        type: u1
        doc: since boot protocol 2.05
      - id: min_alignment  # 0x235
        type: u1
        doc: since boot protocol 2.10
      - id: xloadflags  # 0x236
        type: u2
        doc: since boot protocol 2.12
      - id: cmdline_size  # 0x238
        type: u4
        doc: since boot protocol 2.06
      - id: hardware_subarch  # 0x23c
        type: u4
        doc: since boot protocol 2.07
      - id: hardware_subarch_data  # 0x240
        type: u8
        doc: since boot protocol 2.07
      - id: payload_offset  # 0x248
        type: u4
        doc: since boot protocol 2.08
      - id: payload_length  # 0x24c
        type: u4
        doc: since boot protocol 2.08
      - id: setup_data  # 0x250
        type: u8
        doc: since boot protocol 2.09
      - id: pref_address  # 0x258
        type: u8
        doc: since boot protocol 2.10
      - id: init_size  # 0x260
        type: u4
        doc: since boot protocol 2.10
      - id: handover_offset  # 0x264
        type: u4
        doc: since boot protocol 2.11
      - id: kernel_info_offset  # 0x268
        type: u4
        doc: since boot protocol 2.15
  e820_entry:
    doc: "struct boot_e820_entry: addr and size in bytes; 20 bytes."
    seq:
      - id: addr
        type: u8
      - id: size
        type: u8
      - id: type
        type: u4
  edd_info:
    doc: "struct edd_info: one BIOS disk; 82 bytes."
    seq:
      - id: device  # 0x0
        type: u1
      - id: version  # 0x1
        type: u1
      - id: interface_support  # 0x2
        type: u2
      - id: legacy_max_cylinder  # 0x4
        type: u2
      - id: legacy_max_head  # 0x6
        type: u1
      - id: legacy_sectors_per_track  # 0x7
        type: u1
      - id: params  # 0x8
        type: edd_device_params
  edd_device_params:
    doc: "struct edd_device_params: what int 13h function 48h answered; 74 bytes."
    seq:
      - id: length  # 0x0
        type: u2
      - id: info_flags  # 0x2
        type: u2
      - id: num_default_cylinders  # 0x4
        type: u4
      - id: num_default_heads  # 0x8
        type: u4
      - id: sectors_per_track  # 0xc
        type: u4
      - id: number_of_sectors  # 0x10
        type: u8
      - id: bytes_per_sector  # 0x18
        type: u2
      - id: dpte_ptr  # 0x1a
        type: u4
      - id: key  # 0x1e
        type: u2
      - id: device_path_info_length  # 0x20
        type: u1
      - id: reserved2  # 0x21
        type: u1
      - id: reserved3  # 0x22
        type: u2
      - id: host_bus_type  # 0x24
        size: 4
      - id: interface_type  # 0x28
        size: 8
      - id: interface_path  # 0x30
        size: 8
      - id: device_path  # 0x38
        size: 16
      - id: reserved4  # 0x48
        type: u1
      - id: checksum  # 0x49
        type: u1
  setup_data:
    doc: "struct setup_data with its payload; next is 0 in the last node."
    seq:
      - id: next
        type: u8
      - id: type
        type: u4
      - id: len
        type: u4
      - id: data
        size: len
