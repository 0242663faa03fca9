//! `image("photo.png")` of a `user` block: a picture in the project, checked before a run and read when it comes to it.

use std::path::PathBuf;
use std::sync::Arc;

use super::lower::Lowerer;
use super::paths::within;
use super::templating::Place;
use super::{Rendering, Resolve};
use crate::diag::{Code, Diagnostic};
use crate::syntax::ast::RoleText;
use crate::value::{Image, Role, media_type};

/// The most bytes of a picture.
const LARGEST: u64 = 32 << 20;

/// A picture that a prompt shows.
#[derive(Debug)]
pub struct Picture {
    /// Its path.
    path: Arc<Rendering>,
    /// Folder that it is relative to.
    base: PathBuf,
    /// Folder that it must not leave.
    project: PathBuf,
}

impl Picture {
    /// Where its path comes from.
    pub fn path(&self) -> &Rendering {
        &self.path
    }

    /// The picture.
    ///
    /// # Errors
    /// Its path leads out of the project, or to no picture.
    pub fn read(&self, resolve: &dyn Resolve) -> Result<Image, Box<Diagnostic>> {
        let written: String = self.path.render(resolve)?.segments.iter().map(|s| s.text.as_str()).collect();
        self.load(&written).map_err(|d| Box::new(Diagnostic { code: Code::E430, ..*d }))
    }

    fn load(&self, written: &str) -> Result<Image, Box<Diagnostic>> {
        let span = self.path.text.span;
        let wrong = |why: String| {
            Box::new(Diagnostic::error(Code::E001, span, format!("`{written}` is no picture for a model: {why}")))
        };
        let path = within(&self.project, &self.base, written).map_err(|e| Box::new(e.diagnostic(written, span)))?;
        let about = std::fs::metadata(&path).map_err(|e| wrong(e.to_string()))?;
        if !about.is_file() {
            return Err(wrong("it is no regular file".to_owned()));
        }
        if about.len() > LARGEST {
            return Err(wrong(format!("it has {} bytes, and {} MiB are the most", about.len(), LARGEST >> 20)));
        }
        let bytes = std::fs::read(&path).map_err(|e| wrong(e.to_string()))?;
        match media_type(&bytes) {
            Some(media_type) => Ok(Image { path: written.to_owned(), media_type, bytes: bytes.into() }),
            None => {
                Err(Box::new(wrong("its bytes are none of PNG, JPEG, GIF or WebP".to_owned()).help("convert it first")))
            }
        }
    }
}

impl Lowerer<'_> {
    /// The pictures of a role's block; one whose path is plain is looked at.
    pub(super) fn pictures(&mut self, said: &RoleText, place: &Place) -> Option<Arc<[Picture]>> {
        let mut out = Vec::with_capacity(said.images.len());
        let mut fine = true;
        if let (Some(image), Some(role)) = (said.images.first(), Role::from_name(&said.role.name))
            && role != Role::User
        {
            let message = format!("a `{}` block shows no picture", role.name());
            self.error(Diagnostic::error(Code::E104, image.span, message).help("write it in a `user` block"));
            fine = false;
        }
        for path in &said.images {
            let Some(rendering) = self.template(path, place) else {
                fine = false;
                continue;
            };
            let plain = rendering.template.is_plain();
            let (base, project) = (self.base().to_path_buf(), self.settings.project.clone());
            match within(&project, &base, &path.text) {
                Ok(full) if plain => self.settings.reads.file(&full),
                _ if plain => {}
                _ => self.settings.reads.unknown("it shows a picture whose path is made in the run"),
            }
            let picture = Picture { path: rendering, base, project };
            if let (true, Err(diagnostic)) = (plain, picture.load(&path.text)) {
                self.error(*diagnostic);
                fine = false;
            }
            out.push(picture);
        }
        fine.then(|| out.into())
    }
}
